import pytz
from fastapi import APIRouter, Request

from fastapi_accelerator.timezone import TIMEZONE, get_datetime_now

router = APIRouter(prefix="/time")


@router.get("/1")
async def option_1(request: Request) -> str:
    return get_datetime_now(request.app.state.TIMEZONE).isoformat()


@router.get("/3")
async def option_3() -> str:
    return get_datetime_now(pytz.timezone("Europe/Moscow")).isoformat()


@router.get("/4")
async def option_4(request: Request) -> str:
    timezone = TIMEZONE() or TIMEZONE(request.app)
    return get_datetime_now(timezone).isoformat()
