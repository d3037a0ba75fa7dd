"""A PostgreSQL, which makes one database per line that it reads, and then ends."""

import json
import sys

from accel_db.testing import create_database, postgres_server


def main() -> None:
    with postgres_server() as url:
        print(json.dumps([]), flush=True)
        for _ in sys.stdin:
            made = create_database(url).partition("://")[2]
            print(json.dumps(f"postgresql+asyncpg://{made}"), flush=True)


if __name__ == "__main__":
    main()
