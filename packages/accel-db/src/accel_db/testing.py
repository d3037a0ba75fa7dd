"""What tests need: a real server, databases to throw away, counted queries.

Needs the extra `testing` (`pip install "accel-db[testing]"`).
"""

from accel_db._postgres_server import (
    check_test_database,
    create_database,
    drop_database,
    postgres_server,
)

__all__ = [
    "check_test_database",
    "create_database",
    "drop_database",
    "postgres_server",
]
