import pytest
from hypothesis import given, strategies as st
from sqlalchemy.engine import URL

from accel_db import ConfigurationError
from accel_db._urls import database_urls


@pytest.mark.parametrize(
    ("url", "sync", "asynchronous"),
    [
        ("postgres://u@h/d", "postgresql+psycopg", "postgresql+asyncpg"),
        ("postgresql://u@h/d", "postgresql+psycopg", "postgresql+asyncpg"),
        ("postgresql+asyncpg://u@h/d", "postgresql+psycopg", "postgresql+asyncpg"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg", "postgresql+psycopg"),
        ("postgresql+psycopg2://u@h/d", "postgresql+psycopg2", "postgresql+asyncpg"),
        ("sqlite://", "sqlite+pysqlite", "sqlite+aiosqlite"),
        ("sqlite:///file.db", "sqlite+pysqlite", "sqlite+aiosqlite"),
        ("sqlite+aiosqlite:///file.db", "sqlite+pysqlite", "sqlite+aiosqlite"),
    ],
)
def test_both_halves_get_their_driver(url, sync, asynchronous):
    urls = database_urls(url)

    assert urls.sync.drivername == sync
    assert urls.asynchronous.drivername == asynchronous


def test_parameters_of_libpq_are_translated_for_asyncpg():
    urls = database_urls(
        "postgresql://h/d?sslmode=require&application_name=app&connect_timeout=5"
        "&options=-c%20work_mem%3D1MB%20--lock-timeout%3D3s&keepalives=1"
        "&channel_binding=require&target_session_attrs=read-write"
    )

    assert urls.async_args == {
        "ssl": "require",
        "timeout": 5.0,
        "server_settings": {
            "application_name": "app",
            "work_mem": "1MB",
            "lock_timeout": "3s",
        },
    }
    assert dict(urls.asynchronous.query) == {"target_session_attrs": "read-write"}
    assert urls.sync.query["sslmode"] == "require"


def test_parameters_of_asyncpg_stay_out_of_the_sync_half():
    urls = database_urls("postgresql://h/d?prepared_statement_cache_size=0")

    assert "prepared_statement_cache_size" not in urls.sync.query
    assert urls.asynchronous.query["prepared_statement_cache_size"] == "0"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "cannot be read"),
        ("nonsense", "cannot be read"),
        ("postgresql://h:port/d", "cannot be read"),
        ("oracle://u:geheim@h/d", "'oracle' is not supported"),
        ("postgresql+nope://u:geheim@h/d", "The driver 'nope' is unknown"),
        (
            "postgresql://h/d?connect_timeout=soon",
            "must be a number of seconds: 'soon'",
        ),
        ("postgresql://h/d?options=work_mem", "must be written like `-c name=value`"),
    ],
)
def test_bad_urls_say_what_is_wrong(url, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        database_urls(url)

    assert "geheim" not in str(caught.value)


@given(user=st.text(min_size=1), password=st.text(), host=st.sampled_from(["h", "::1"]))
def test_any_credentials_survive(user, password, host):
    url = URL.create("postgres", user, password, host, 5432, "name")

    urls = database_urls(url.render_as_string(hide_password=False))

    for half in (urls.sync, urls.asynchronous):
        assert (half.username, half.password or "", half.host) == (user, password, host)
