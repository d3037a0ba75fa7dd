"""Endpoints of a module whose annotations are strings."""

from __future__ import annotations

import pytest
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

from accel_cache import MemoryCache

pytestmark = pytest.mark.anyio

app, cache = FastAPI(), MemoryCache()


class Item(BaseModel):
    path: str


@app.get("/own")
@cache(ttl=60)
async def own(request: Request, response: Response, n: int = 1) -> Item:
    response.headers["X-Own"] = str(n)
    return Item(path=request.url.path)


@app.get("/hidden")
@cache(ttl=60)
def hidden(n: int = 1) -> Item:
    return Item(path=f"n={n}")


@pytest.mark.parametrize("path", ["/own", "/hidden"])
async def test_annotations_that_are_strings_are_understood(browse, path):
    async with browse(app) as web:
        answers = [await web.get(path) for _ in range(2)]

    assert [a.status_code for a in answers] == [200, 200]
    assert [a.headers["x-cache"] for a in answers] == ["MISS", "HIT"]
    assert answers[0].json() == answers[1].json()
    (parameter,) = app.openapi()["paths"][path]["get"]["parameters"]
    assert parameter["name"] == "n"
