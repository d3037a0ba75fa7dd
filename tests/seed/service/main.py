from datetime import timedelta

from fastapi import Depends, FastAPI, Path, Request
from sqlalchemy import select

from app.api.v1 import cached, clock, crud, integrations, router, users
from app.api.v1.schemas.file import FilesSchema
from app.core.cache import redis_client
from app.core.config import (
    BASE_DIR_PROJECT,
    DEBUG,
    OTHER_SECRET_KEY,
    SECRET_KEY,
)
from app.core.db import DatabaseManager
from app.core.useintegration import gtapi, name_api
from app.models import Files
from fastapi_accelerator.auth_jwt import BaseAuthJWT, jwt_auth
from fastapi_accelerator.cache import cache_redis
from fastapi_accelerator.db.dbsession import OrmAsync
from fastapi_accelerator.pattern.pattern_fastapi import base_pattern
from fastapi_accelerator.timezone import get_datetime_now, moscow_tz, new_york_tz

app = FastAPI(title="The service of the seed")

# Pattern for the project
base_pattern(
    app,
    routers=(
        router.router,
        crud.router,
        cached.router,
        clock.router,
        integrations.router,
        users.router,
    ),
    timezone=moscow_tz,
    cache_status=True,
    debug=DEBUG,
    base_dir=BASE_DIR_PROJECT,
    database_manager=DatabaseManager,
    secret_key=SECRET_KEY,
    origins=["https://shop.example"],
    useintegration=[name_api, gtapi],
)


class AuthJWT(BaseAuthJWT):
    async def check_auth(username: str, password: str) -> bool:
        """Check the entered login and password."""
        return username == "admin" and password == "admin"

    async def add_jwt_body(username: str) -> dict:
        """Function to add additional data to the user's JWT token"""
        return {"version": username.title()}


# Connect JWT authentication
AuthJWT.mount_auth(app)


@app.get("/check_protected", summary="Check JWT authentication")
async def protected_route(jwt: dict = Depends(jwt_auth)):
    return {"message": "This is a protected route", "user": jwt}


@app.get(f"/files/{{item_uid}}")
@cache_redis(cache_class=redis_client, cache_ttl=timedelta(minutes=10))
async def get_item(
    request: Request,
    item_uid: str = Path(...),
    aorm: OrmAsync = Depends(DatabaseManager.aget_orm),
) -> FilesSchema:
    response = await aorm.get(select(Files).filter(Files.id == item_uid))
    return response


@app.get("/time/2")
async def option_2() -> str:
    return get_datetime_now(app.state.TIMEZONE).isoformat()


@app.get("/state")
async def state(request: Request) -> dict[str, object]:
    known = request.app.state
    return {
        "TIMEZONE": str(known.TIMEZONE),
        "CACHE_STATUS": known.CACHE_STATUS,
        "DATABASE_MANAGER": known.DATABASE_MANAGER is DatabaseManager,
        "SECRET_KEY": known.SECRET_KEY == SECRET_KEY,
        "debug": app.debug,
    }


@app.get("/broken")
async def broken() -> None:
    raise RuntimeError("the secret of this error")


class OtherAuthJWT(BaseAuthJWT):
    async def check_auth(username: str, password: str) -> bool:
        return password == f"of {username}"


# Another application in the same process: other keys, another time zone, no cache.
other = FastAPI(title="Another service")

base_pattern(
    other,
    routers=(cached.router, clock.router),
    timezone=new_york_tz,
    cache_status=False,
    secret_key=OTHER_SECRET_KEY,
)

OtherAuthJWT.mount_auth(other)

# And one with a cache, and with many users.
people = FastAPI(title="A service of many")

base_pattern(
    people,
    routers=(cached.router,),
    cache_status=True,
    secret_key=OTHER_SECRET_KEY,
)

OtherAuthJWT.mount_auth(people)

app.mount("/other", other)
app.mount("/people", people)
