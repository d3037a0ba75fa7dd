"""A worker without a web framework: rows out, calls to a service, results back in.

It runs as it stands, with accel-db and accel-integration installed: the database is
SQLite, and the service that it calls is a small one of its own, which fails at times.
"""

import asyncio
import json
import tempfile
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from accel_db import MainDatabaseManager, OrmAsync
from accel_integration import (
    ApiHTTP,
    EndpointsDeclaration,
    HTTPMethod,
    IntegrationHTTP,
    MaxRetriesExceededError,
    sp,
)


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int]
    state: Mapped[str] = mapped_column(default="new")


class Receipt(BaseModel):
    accepted: bool


class Payments(EndpointsDeclaration):
    """The service that takes the money."""

    integration = IntegrationHTTP("Payments", doc="Takes the money for an order")

    @integration.endpoint(HTTPMethod.post, "/payments/{order_id}")
    @sp.Timeout(seconds=5)
    @sp.RetryPattern(max_attempts=3, delay=timedelta(milliseconds=10))
    async def pay(api: ApiHTTP, order_id: int, amount: int) -> Receipt:
        """Pay for an order; the number of the order makes it safe to repeat."""
        response = await api.client.post(str(api.url), json={"amount": amount})
        response.raise_for_status()
        return Receipt(**response.json())


async def work(manager: MainDatabaseManager, payments: Payments) -> None:
    """Pay for every new order, and note how it went."""
    async with manager.asession() as session:
        aorm = OrmAsync(session)
        for order in await aorm.get_list(select(Order).where(Order.state == "new")):
            try:
                receipt = await payments.pay(order.id, order.amount)
                state = "paid" if receipt.accepted else "refused"
            except MaxRetriesExceededError:
                state = "later"
            await aorm.update_item(Order, order.id, {"state": state})


class FlakyServer(BaseHTTPRequestHandler):
    """Fails every second time, and refuses large amounts."""

    calls = 0

    def do_POST(self) -> None:
        """Answer one payment."""
        amount = json.loads(self.rfile.read(int(self.headers["content-length"])))
        FlakyServer.calls += 1
        failed = FlakyServer.calls % 2
        body = json.dumps({"accepted": amount["amount"] < 100}).encode()
        self.send_response(503 if failed else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


async def main() -> None:
    """Show it: three orders, a server that fails every second call."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), FlakyServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'orders.db'}"
        manager = MainDatabaseManager(url, DEV_STATUS=True, base=Base)
        await manager.acreate_all()
        async with manager.asession.begin() as session:
            session.add_all([Order(amount=amount) for amount in (20, 50, 300)])

        address = f"http://127.0.0.1:{server.server_port}"
        async with Payments(base_url=address) as payments:
            await work(manager, payments)

        async with manager.asession() as session:
            for order in await OrmAsync(session).get_list(select(Order)):
                print(order.id, order.amount, order.state)
        await manager.adispose()
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    asyncio.run(main())
