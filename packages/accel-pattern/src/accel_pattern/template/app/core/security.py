"""Who may do what."""

from accel_auth import BaseAuthJWT, PasswordHasher, RedisStore
from sqlalchemy import select

from app.core.cache import redis_server
from app.core.db import DatabaseManager
from app.models import User

hasher = PasswordHasher()


class AuthJWT(BaseAuthJWT):
    """Logins against the table of users."""

    # Who has logged out must be known to every process.
    store = RedisStore(redis_server) if redis_server else None

    @staticmethod
    async def check_auth(username: str, password: str) -> bool:
        """Check the entered login and password."""
        async with DatabaseManager.asession() as session:
            user = await session.scalar(select(User).where(User.login == username))
        # An unknown login costs as much time as a wrong password.
        return await hasher.verify(user.password_hash if user else None, password)

    @staticmethod
    async def add_jwt_body(username: str) -> dict[str, object]:
        """Add what the service wants to know about the user of a token."""
        return {"version": "v1"}
