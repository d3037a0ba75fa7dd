"""Settings, read from the environment or from a file `.env` beside `main.py`."""

from pathlib import Path

from pydantic import SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

BASE_DIR_APP = Path(__file__).parent.parent
BASE_DIR_PROJECT = BASE_DIR_APP.parent


class Settings(BaseSettings):
    """Everything that differs between one installation and another."""

    model_config = SettingsConfigDict(
        env_file=BASE_DIR_PROJECT / ".env",
        extra="ignore",
        # What is refused may be a secret.
        hide_input_in_errors=True,
    )

    database_url: SecretStr = SecretStr("sqlite:///service.db")
    # The tests wipe it. Left out: a database beside the other, called test_….
    test_database_url: SecretStr = SecretStr("")
    # Without an address, the cache and who is logged in are known to one process only.
    redis_url: SecretStr = SecretStr("")

    debug: bool = False
    # Lets `create_all`, `drop_all` and `clear_all` run: never in production.
    dev_status: bool = False
    cache_status: bool = True
    # The page /docintegration tells everybody which systems the service uses.
    docintegration: bool = False
    # Pages of these origins may call the service, as in ["https://shop.example"].
    origins: list[str] = []

    # At least 32 characters: python -c "import secrets; print(secrets.token_urlsafe(32))"
    secret_key: SecretStr = SecretStr("")
    admin_username: str = "admin"
    admin_password: SecretStr = SecretStr("")

    translate_url: str = "https://translate-pa.googleapis.com"
    translate_token: SecretStr = SecretStr("")

    @field_validator("database_url")
    @classmethod
    def check_address(cls, url: SecretStr) -> SecretStr:
        """Refuse what is no address, by the name that stands in `.env`."""
        try:
            make_url(url.get_secret_value())
        except ArgumentError:
            raise ValueError(
                "DATABASE_URL is no address of a database. Name one, such as "
                "sqlite:///service.db, or leave the line out for that."
            ) from None
        return url


def beside(database_url: str) -> str:
    """Return the address of the test database beside this one."""
    url = make_url(database_url)
    path = Path(url.database or "service")
    test_database = path.with_name(f"test_{path.name}").as_posix()
    return url.set(database=test_database).render_as_string(hide_password=False)


settings = Settings()

DATABASE_URL = settings.database_url.get_secret_value()
TEST_DATABASE_URL = settings.test_database_url.get_secret_value() or beside(
    DATABASE_URL
)
REDIS_URL = settings.redis_url.get_secret_value()
DEBUG = settings.debug
DEV_STATUS = settings.dev_status
CACHE_STATUS = settings.cache_status
DOCINTEGRATION = settings.docintegration
ORIGINS = settings.origins
SECRET_KEY = settings.secret_key.get_secret_value()
ADMIN_USERNAME = settings.admin_username
ADMIN_PASSWORD = settings.admin_password.get_secret_value()
TRANSLATE_URL = settings.translate_url
TRANSLATE_TOKEN = settings.translate_token.get_secret_value()
