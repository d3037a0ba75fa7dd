"""A worker without a web framework: it translates words through a flaky system.

Run it with `python examples/worker.py`. The system it calls is started by it, on a free
port of this machine, and fails every third time.
"""

import asyncio
import logging

from pydantic import BaseModel

from accel_integration import (
    ApiHTTP,
    BreakerChanged,
    EndpointsDeclaration,
    HTTPMethod,
    IntegrationError,
    IntegrationHTTP,
    RetryScheduled,
    sp,
)
from accel_integration.testing import Fault, fault_server

WORDS = ("house", "river", "bridge", "lamp", "window", "garden")


class Dictionary(EndpointsDeclaration):
    integration = IntegrationHTTP("Dictionary", doc="English to everything")

    class Schema:
        class Translation(BaseModel):
            text: str

    @integration.endpoint(HTTPMethod.post, "/translate/{language}", version="v1")
    @sp.Timeout(10)
    @sp.RetryPattern(8, 0.05, backoff="exponential", jitter="full", statuses={503})
    @sp.CircuitBreaker(5, reset_timeout=1)
    @sp.Bulkhead(2, max_wait=5)
    @sp.Timeout(1)
    async def translate(
        api: ApiHTTP,
        word: str,
        language: str = "fi",
    ) -> Schema.Translation:
        """Translate one word."""
        headers = {"authorization": f"Bearer {api.credentials['TOKEN']}"}
        return await api.client.post(str(api.url), json=[word], headers=headers)


def report(event: object) -> None:
    """Say what the patterns do."""
    if isinstance(event, RetryScheduled):
        print(f"  again in {event.delay:.2f} s, because of {event.error}")
    elif isinstance(event, BreakerChanged):
        print(f"  the circuit went from {event.old} to {event.new}")


async def work(dictionary: Dictionary, queue: asyncio.Queue[str]) -> None:
    """Take words from *queue* until it is empty."""
    while not queue.empty():
        word = queue.get_nowait()
        try:
            translation = await dictionary.translate(word)
        except IntegrationError as exc:
            print(f"{word}: {exc} (retry after {exc.retry_after})")
        else:
            print(f"{word}: {translation.text}")


async def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    queue: asyncio.Queue[str] = asyncio.Queue()
    for word in WORDS:
        queue.put_nowait(word)
    fine = Fault.ok({"text": "sana"})
    busy = Fault.unavailable(retry_after=0)
    flaky = (fine, fine, busy, fine, fine, Fault.reset())
    unsubscribe = Dictionary.integration.subscribe(report)
    with fault_server(*flaky, cycle=True) as server:
        async with Dictionary(server.url, {"TOKEN": "secret"}) as dictionary:
            await asyncio.gather(*(work(dictionary, queue) for _ in range(3)))
            endpoint = dictionary.endpoints()["translate"]
            print(dictionary.stats_of(endpoint).as_dict())
    unsubscribe()


if __name__ == "__main__":
    asyncio.run(main())
