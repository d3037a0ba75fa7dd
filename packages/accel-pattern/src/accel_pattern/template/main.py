"""The service: `uvicorn main:app`."""

import logging
from datetime import UTC

from accel_admin import mount_admin
from accel_pattern import base_pattern
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from app.api.v1.router import router
from app.core.cache import admin_store
from app.core.config import (
    ADMIN_PASSWORD,
    ADMIN_USERNAME,
    BASE_DIR_PROJECT,
    CACHE_STATUS,
    DEBUG,
    DOCINTEGRATION,
    ORIGINS,
    SECRET_KEY,
)
from app.core.db import DatabaseManager
from app.core.security import AuthJWT
from app.core.useintegration import gtapi
from app.models import File, Task, TaskExecution, User

logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
# Who did what in the panel.
logging.getLogger("accel_admin.audit").setLevel(logging.INFO)

app = FastAPI(title="A service built with accel")

base_pattern(
    app,
    routers=(router,),
    timezone=UTC,
    cache_status=CACHE_STATUS,
    debug=DEBUG,
    base_dir=BASE_DIR_PROJECT,
    database_manager=DatabaseManager,
    secret_key=SECRET_KEY,
    origins=ORIGINS,
    useintegration=[gtapi],
    docintegration=DOCINTEGRATION,
)

AuthJWT.mount_auth(app)

mount_admin(
    app,
    SECRET_KEY,
    ADMIN_PASSWORD,
    ADMIN_USERNAME,
    models=[User, File, Task, TaskExecution],
    database_manager=DatabaseManager,
    store=admin_store,
)

INDEX = (BASE_DIR_PROJECT / "app" / "index.html").read_text(encoding="utf-8")


@app.get("/", include_in_schema=False)
async def index() -> HTMLResponse:
    """Show what there is to see."""
    return HTMLResponse(INDEX)
