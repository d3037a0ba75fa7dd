"""Whether the stores of an application answer."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

from fastapi import FastAPI

# Under a budget that is meant for requests, a busy machine may miss its first turn.
TRIES = 3
# A name that nothing has: to look it up tells enough, and changes nothing.
NOTHING = "accel-check"


def panels_of(app: FastAPI) -> list[Any]:
    """Return the admin panels that are mounted on *app*."""
    panels = [getattr(route, "panel", None) for route in app.router.routes]
    return [panel for panel in panels if panel is not None]


def silent_stores(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Iterate over what has a store that does not answer, and why it does not."""
    for owner, ask in _questions(app):
        try:
            ask()
        except Exception as exc:  # noqa: BLE001 - whatever breaks is the answer
            # Behind our errors, which are made for clients, stands what happened.
            yield owner, str(exc.__cause__ or exc).rstrip(".") or "no answer in time"


def _questions(app: FastAPI) -> Iterator[tuple[str, Callable[[], object]]]:
    # View sets that share a cache have named it once each.
    for cache in dict.fromkeys(getattr(app.state, "CACHES", ())):
        yield "cache", partial(_insist, cache.ping)
    store = getattr(getattr(app.state, "auth_jwt", None), "store", None)
    if store is not None:
        yield "authentication", partial(_insist, partial(store.is_denied, NOTHING))
    for panel in panels_of(app):
        yield "admin panel", partial(panel.store.load, NOTHING)


def _insist(ask: Callable[[], Awaitable[object]]) -> None:
    async def insist() -> None:
        failures = []
        for _ in range(TRIES):
            try:
                await ask()
            except Exception as exc:  # noqa: BLE001 - raised below
                failures.append(exc)
                await asyncio.sleep(getattr(exc, "retry_after", None) or 0.0)
            else:
                return
        # The others may know only that there was one before.
        raise failures[0]

    asyncio.run(insist())
