"""Settings, all from the environment."""

import os
from pathlib import Path

BASE_DIR_PROJECT = Path(__file__).parents[2]

DATABASE_URL = os.environ["DATABASE_URL"]
REDIS_URL = os.environ["REDIS_URL"]
DEBUG = os.environ.get("DEBUG") == "1"
DEV_STATUS = os.environ.get("DEV_STATUS") == "1"

SECRET_KEY = os.environ["SECRET_KEY"]
OTHER_SECRET_KEY = os.environ["OTHER_SECRET_KEY"]
ADMIN_USERNAME = os.environ["ADMIN_USERNAME"]
ADMIN_PASSWORD = os.environ["ADMIN_PASSWORD"]

UPSTREAM_URL = os.environ["UPSTREAM_URL"]
UPSTREAM_TOKEN = os.environ["UPSTREAM_TOKEN"]
