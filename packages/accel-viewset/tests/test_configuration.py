"""Mistakes in a view set are told when it is mounted."""

import inspect as inspection

import pytest
from fastapi import APIRouter, Depends, FastAPI
from pydantic import BaseModel

import accel_viewset
from accel_viewset import (
    ConfigurationError,
    DefaultPaginator,
    FullViewSet,
    Permission,
    ViewSetError,
    action,
)

from .models import File, Seat, Task, User
from .schemas import FileOut, FileWithOwner, SeatOut, TaskOut, UserOut


class Required(FileOut):
    owner: UserOut


async def _later(self, *args):
    """Do nothing."""


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"db_model": BaseModel}, "is no mapped class"),
        ({"pydantic_model": FileWithOwner}, "Set `deep_schema = True`"),
        ({"filters": ("secret",)}, "File has no column 'secret'"),
        ({"filters": {"size": ["like"]}}, "there is no look-up 'like'"),
        ({"ordering": ("owner",)}, "File has no column 'owner'"),
        ({"search": ("size",)}, "Broken.search.* 'size' is no text"),
        ({"search": "size"}, r"`search = \(…,\)`"),
        ({"default_ordering": ("x",)}, "default_ordering.* no column 'x'"),
        ({"permissions": Permission()}, r"`permissions = \(…,\)`"),
        ({"permissions": (Permission,)}, r"Write an object of it: `Permission\(\)`"),
        ({"permissions": (print,)}, "it would never be asked"),
        ({"permissions": {"create": ()}}, "permissions.*it is a mapping"),
        ({"throttle": {"create": None}}, "is no `Throttle` object"),
        ({"permission_classes": ()}, r"Use `permissions = \(IsOwner\(\),\)`"),
        ({"queryset": None}, "Use `db_model`"),
        ({"search_fields": ("filename",)}, "Use `search`"),
        ({"http_method_names": ["get"]}, "`ReadOnlyViewSet`"),
        ({"destroy": print}, r"`db_delete\(item_id, aorm\)`"),
        ({"lookup_field": "filename"}, "Use the primary key"),
        ({"name_pk": "filename"}, "name_pk.*'filename' is not the primary key"),
        ({"get_object": lambda self: None}, r"as `get_object\(request, item_id, aorm"),
        ({"create": _later}, r"called once, without a request.*`db_create"),
        ({"list": lambda self, request: None}, "called once.*`scope_query`"),
        ({"filters": ("owner__name",)}, "of 'owner', narrow the rows in `scope_query`"),
        ({"filters": {"size": []}}, r"'size' needs a list of look-ups, not \[\]"),
        ({"filters": {"size": "in"}}, "needs a list of look-ups, not 'in'"),
        ({"expand": ("owner",)}, "'owner' is no relationship in 'FileOut'"),
        (
            {"pydantic_model": Required, "expand": ("owner",)},
            "'owner' needs a default",
        ),
        ({"create_values": {"x": print}}, "File has no column 'x'"),
        ({"create_values": {"size": 5}}, "5 is no function of the request"),
        ({"parents": {"user_id": "owner_id"}}, r"has no `\{user_id\}`"),
        (
            {"action_dependencies": {"creat": [Depends(print)]}},
            r"there is no action \['creat'\]",
        ),
    ],
)
def test_mistake_names_the_attribute(attributes, message):
    view = type("Broken", (FullViewSet,), {"db_model": File, "pydantic_model": FileOut})
    broken = type("Broken", (view,), attributes)

    with pytest.raises(ConfigurationError, match=message) as caught:
        broken().as_view(APIRouter(), "/x")

    assert str(caught.value).startswith("`Broken.")


def test_missing_schema_is_told():
    class Broken(FullViewSet):
        db_model = File

    with pytest.raises(ConfigurationError, match="pydantic_model"):
        Broken().as_view(APIRouter(), "/x")


def test_action_may_be_named_as_anything():
    class Files(FullViewSet):
        db_model = File
        pydantic_model = FileOut

        @action(detail=True, methods=["POST"])
        async def destroy(self, item_id: str) -> str:
            return item_id

    view = Files().as_view(APIRouter(), "/x")

    assert "destroy" in view.router.actions


@pytest.mark.anyio
async def test_missing_database_is_a_500_that_says_why(serve):
    class Users(FullViewSet):
        db_model = User
        pydantic_model = UserOut

    async with serve(Users, database=None) as web:
        answer = await web.get("/x")

    assert answer.status_code == 500
    assert answer.text == "Internal Server Error"


def mounted(db_model, pydantic_model, **attributes):
    names = {"db_model": db_model, "pydantic_model": pydantic_model, **attributes}
    return type("View", (FullViewSet,), names)().as_view(APIRouter(), "/x")


def test_what_upstream_sets_is_there():
    view = mounted(User, UserOut)

    assert (view.name_pk, view.type_item_id, view.prefix) == ("id", int, "/x")
    assert view.tags == ["View"]
    assert view.get_offset(3, 10) == 20


def test_type_of_the_key_may_be_said():
    assert mounted(User, UserOut, type_item_id=str).type_item_id is str


@pytest.mark.parametrize(
    ("model", "schema", "created", "updated"),
    [
        (User, UserOut, {"name", "login", "email"}, {"name", "login", "email"}),
        (Seat, SeatOut, {"row", "letter", "guest"}, {"guest"}),
        (File, FileOut, {"filename", "size", "owner_id"}, None),
    ],
)
def test_derived_schemas(model, schema, created, updated):
    view = mounted(model, schema)

    assert set(view.create_schema.model_fields) == created
    assert set(view.update_schema.model_fields) == (updated or created)
    assert not any(f.is_required() for f in view._patch_schema.model_fields.values())


def test_nested_schemas_keep_the_keys_of_children():
    view = mounted(Task, TaskOut, deep_schema=True)

    assert set(view.create_schema.model_fields) == {"name", "users", "works"}
    works = view.update_schema.model_fields["works"].annotation
    assert "id" in works.__args__[0].model_fields


def calls(dependant):
    for child in dependant.dependencies:
        yield child.call
        yield from calls(child)


def test_no_dependency_is_sent_to_a_thread():
    view = mounted(
        *(File, FileWithOwner),
        expand=("owner",),
        filters=("size",),
        paginator_class=DefaultPaginator,
        permissions=(Permission(),),
    )

    found = [call for route in view.router.routes for call in calls(route.dependant)]

    assert len(found) > 12
    assert all(
        inspection.iscoroutinefunction(call) or inspection.isasyncgenfunction(call)
        for call in found
    )


def test_two_view_sets_of_one_model_share_an_application():
    app, router = FastAPI(), APIRouter()
    for prefix in ("/a", "/b"):
        view = type("View", (FullViewSet,), {})
        view.db_model, view.pydantic_model = User, UserOut
        view().as_view(router, prefix)
    app.include_router(router)

    paths = app.openapi()["paths"]
    ids = [op["operationId"] for path in paths.values() for op in path.values()]
    assert len(ids) == len(set(ids)) == 12


def test_the_documentation_tells_the_endpoints_of_two_view_sets_apart():
    app, router = FastAPI(), APIRouter()
    view = type("View", (FullViewSet,), {"__doc__": "People."})
    view.db_model, view.pydantic_model = User, UserOut
    tag = view().as_view(router, "/user").openapi_tag
    app.include_router(router)

    paths = app.openapi()["paths"].values()
    summaries = {op["summary"] for path in paths for op in path.values()}
    verbs = ("list", "create", "read", "replace", "change", "delete")
    assert summaries == {f"UserOut: {verb}" for verb in verbs}
    assert tag["description"].startswith("People: ")


def errors():
    found = vars(accel_viewset).values()
    return [x for x in found if inspection.isclass(x) and issubclass(x, ViewSetError)]


@pytest.mark.parametrize("error", errors(), ids=lambda error: error.__name__)
def test_errors_carry_their_status(error):
    assert isinstance(error.http_status, int)
    assert error.retry_after is None or error.retry_after > 0
