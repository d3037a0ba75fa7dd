"""The admin panel on its own: `python admin_panel.py`."""

from accel_admin import admin_pattern
from flask import Flask

from app.core.cache import admin_store
from app.core.config import ADMIN_PASSWORD, ADMIN_USERNAME, SECRET_KEY
from app.core.db import DatabaseManager
from app.models import File, Task, TaskExecution, User

app = Flask(__name__)

admin = admin_pattern(
    app,
    SECRET_KEY,
    ADMIN_PASSWORD,
    ADMIN_USERNAME,
    # > Models needed in the admin panel
    models=[User, File, Task, TaskExecution],
    database_manager=DatabaseManager,
    store=admin_store,
)


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=8001)
