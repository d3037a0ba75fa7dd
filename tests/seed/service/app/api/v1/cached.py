"""Cached endpoints of every kind that the seed speaks about."""

import uuid
from datetime import timedelta

from fastapi import APIRouter, Depends, Request

from app.core.cache import redis_client
from fastapi_accelerator.auth_jwt import jwt_auth
from fastapi_accelerator.cache import cache_redis

router = APIRouter(prefix="/cached")


@router.get("/async", status_code=203)
@cache_redis(cache_class=redis_client, cache_ttl=timedelta(minutes=10))
async def without_request(key: str) -> dict[str, str]:
    return {"key": key, "made": str(uuid.uuid4())}


@router.get("/sync")
@cache_redis(cache_class=redis_client, cache_ttl=timedelta(minutes=10))
def with_request(request: Request, key: str) -> dict[str, str]:
    return {"key": key, "path": request.url.path, "made": str(uuid.uuid4())}


@router.get("/mine")
@cache_redis(cache_class=redis_client, cache_ttl=timedelta(minutes=10))
async def of_one_user(jwt: dict = Depends(jwt_auth)) -> dict[str, str]:
    return {"user": jwt["sub"], "made": str(uuid.uuid4())}
