"""A service that keeps tasks, and translates."""

from fastapi import FastAPI

from app.api.v1.router import router
from app.core.auth import AuthJWT
from app.core.config import SECRET_KEY
from app.core.db import DatabaseManager
from app.core.useintegration import gtapi
from fastapi_accelerator.pattern.pattern_fastapi import base_pattern
from fastapi_accelerator.timezone import moscow_tz

app = FastAPI(title="Tasks")

base_pattern(
    app,
    routers=(router,),
    timezone=moscow_tz,
    cache_status=True,
    database_manager=DatabaseManager,
    secret_key=SECRET_KEY,
    useintegration=[gtapi],
)

AuthJWT.mount_auth(app)
