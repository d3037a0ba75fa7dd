"""Whatever a client sends, the service does not fall over."""

import asyncio
import json
from urllib.parse import quote

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from hypothesis import HealthCheck, given, settings, strategies as st

from accel_viewset import CursorPaginator, DefaultPaginator, FullViewSet, ViewSetBulk

from .models import File, Seat, Task, Thing, db as manager
from .schemas import FileWithOwner, SeatOut, TaskOut, ThingOut


class Things(FullViewSet, ViewSetBulk):
    db_model = Thing
    pydantic_model = ThingOut
    paginator_class = DefaultPaginator
    filters = ("name", "count", "ratio", "price", "color", "day", "at", "token")
    ordering = ("name", "at")
    search = ("name", "note")
    etag = True


class Tasks(FullViewSet):
    db_model = Task
    pydantic_model = TaskOut
    paginator_class = CursorPaginator
    ordering = ("name",)
    deep_schema = True


class Files(FullViewSet):
    db_model = File
    pydantic_model = FileWithOwner
    expand = ("owner",)
    filters = ("owner_id", "size")


class Seats(FullViewSet):
    db_model = Seat
    pydantic_model = SeatOut


ANYTHING = st.text(max_size=8)
NUMBERS = st.integers() | st.sampled_from([0, 1, -1, 2**31, 2**63, 10**40])
SCALARS = (
    st.none()
    | st.booleans()
    | NUMBERS
    | st.floats()
    | ANYTHING
    | st.sampled_from(["\ud800", "\0", "2026-01-02T03:04:05", "1e999", "red"])
)
FIELDS = st.sampled_from(
    [
        *("id", "name", "note", "count", "ratio", "price", "ready", "color", "day"),
        *("at", "token", "state", "users", "works", "hours", "filename", "size"),
        *("owner_id", "owner", "row", "letter", "guest", "uid", "task_id"),
    ]
)
BODIES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(FIELDS | ANYTHING, inner, max_size=6)
    ),
    max_leaves=12,
)
PARAMETERS = st.sampled_from(
    [
        *("page", "size", "cursor", "skip", "limit", "ordering", "search", "expand"),
        *("name", "name__contains", "count__gt", "ratio", "price__lte", "color__in"),
        *("day", "at__gte", "token", "key", "owner_id__isnull", "size__exact"),
    ]
)
TEXTS = (
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | NUMBERS.map(str)
    | st.sampled_from(["-at", "name,at", "\0", "%", "e30"])
)
REQUESTS = st.tuples(
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
    st.sampled_from(["/things", "/tasks", "/files", "/seats"]),
    st.none() | st.sampled_from(["1", "bulk", "1,A", "9" * 20]) | TEXTS,
    st.lists(st.tuples(PARAMETERS, TEXTS), max_size=3),
    BODIES,
)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def send(request):
    """Give what sends a request and returns its status, on one long-lived loop."""
    sqlite = request.param == "sqlite"
    url = "sqlite://" if sqlite else request.getfixturevalue("postgres_url")
    app = FastAPI()
    app.state.DATABASE_MANAGER = manager
    router = APIRouter()
    for path, view in {
        "/things": Things,
        "/tasks": Tasks,
        "/files": Files,
        "/seats": Seats,
    }.items():
        view().as_view(router, path)
    app.include_router(router)
    transport = httpx2.ASGITransport(app=app)
    with manager.override(url), asyncio.Runner() as runner:
        web = httpx2.AsyncClient(transport=transport, base_url="http://test")
        runner.run(manager.acreate_all())

        def call(*args, **kwargs):
            return runner.run(web.request(*args, **kwargs))

        yield call
        runner.run(web.aclose())
        runner.run(manager.aclear_all())
        runner.run(manager.adispose())


@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(what=REQUESTS)
def test_never_500(send, what):
    method, path, key, params, body = what
    if key is not None:
        path = f"{path}/{quote(key, safe=',')}"

    # An exception that nobody handles comes out of the transport.
    answer = send(
        method,
        path,
        params=[(name, text) for name, text in params],
        content=json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )

    assert answer.status_code < 500


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(changes=st.dictionaries(FIELDS, SCALARS, max_size=5))
def test_nearly_valid_bodies_never_500(send, changes):
    valid = {"name": "n", "note": None}

    for method, path in (("POST", "/things"), ("PUT", "/things/1")):
        answer = send(
            method,
            path,
            content=json.dumps({**valid, **changes}).encode(),
            headers={"content-type": "application/json"},
        )

        assert answer.status_code < 500
