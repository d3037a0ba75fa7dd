"""Who may come in."""

from fastapi_accelerator.auth_jwt import BaseAuthJWT


class AuthJWT(BaseAuthJWT):
    async def check_auth(username: str, password: str) -> bool:
        return (username, password) == ("test", "qwerty")

    async def add_jwt_body(username: str) -> dict:
        return {"version": username.title()}
