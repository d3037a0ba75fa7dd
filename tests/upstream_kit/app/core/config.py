"""Settings, all from the environment."""

import os

DATABASE_URL = "postgresql://nobody@127.0.0.1:1/production"
TEST_DATABASE_URL = os.environ["TEST_DATABASE_URL"]
SECRET_KEY = os.environ["SECRET_KEY"]
