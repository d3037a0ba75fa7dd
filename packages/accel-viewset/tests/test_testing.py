"""The kit for tests of users, used as they use it."""

import itertools
import uuid
from types import MappingProxyType

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel
from starlette.testclient import TestClient

from accel_viewset import (
    DefaultPaginator,
    FullViewSet,
    Permission,
    ReadOnlyViewSet,
    ViewSetCreate,
    ViewSetList,
)
from accel_viewset.testing import (
    check_response_json,
    rm_key_from_deep_dict,
    viewset_contract,
)

from .models import Country, File, Note, Seat, Task, User, db as manager
from .schemas import CountryOut, FileOut, NoteOut, SeatOut, TaskOut, UserOut

OWNER, NOBODY = {"authorization": "owner"}, {"authorization": "nobody"}
OTHER = {"authorization": "other"}


def who(authorization: str = Header("")):
    if not authorization:
        raise HTTPException(401)
    return authorization


class NotNobody(Permission):
    async def has_permission(self, request, view, action):
        return request.headers["authorization"] != NOBODY["authorization"]


class Users(FullViewSet):
    db_model = User
    pydantic_model = UserOut
    paginator_class = DefaultPaginator
    dependencies = (Depends(who),)
    permissions = (NotNobody(),)
    etag = "required"
    idempotent_create = True

    def scope_query(self, statement, request):
        is_owner = request.headers["authorization"] == OWNER["authorization"]
        return statement.where(User.name.is_(None) if is_owner else User.name == "?")


class Tasks(FullViewSet):
    db_model = Task
    pydantic_model = TaskOut
    deep_schema = True


class Notes(ReadOnlyViewSet):
    db_model = Note
    pydantic_model = NoteOut


class Files(FullViewSet):
    db_model = File
    pydantic_model = FileOut
    database_manager = manager


class Seats(FullViewSet):
    db_model = Seat
    pydantic_model = SeatOut


class Countries(FullViewSet):
    db_model = Country
    pydantic_model = CountryOut


numbers = itertools.count(1)
router = APIRouter(prefix="/api")
users = Users().as_view(router, "/user")
tasks = Tasks().as_view(router, "/task")


def mounted(view):
    """Return *view* as the application of the tests serves it."""
    return view().as_view(router, f"/{view.__name__.lower()}")


@pytest.fixture
def client(tmp_path):
    app = FastAPI()
    app.state.DATABASE_MANAGER = manager
    app.include_router(router)
    with manager.override(f"sqlite:///{tmp_path}/test.db"):
        manager.create_all()
        with TestClient(app) as client:
            yield client
        manager.dispose()


def user():
    return {"email": f"{next(numbers)}@example.org"}


def country():
    number = next(numbers)
    return {"code": chr(64 + number // 26) + chr(65 + number % 26), "name": f"{number}"}


TestUsers = viewset_contract(
    users,
    "/api/user",
    user,
    invalid=[{"email": 1}],
    headers=OWNER,
    forbidden=NOBODY,
    unrelated=OTHER,
)
TestTasks = viewset_contract(
    tasks,
    "/api/task",
    lambda: {"name": f"{next(numbers)}", "works": [{"hours": 1}]},
    manager=manager,
    max_queries=5,
)
TestNotes = viewset_contract(mounted(Notes), "/api/notes", dict)
TestFiles = viewset_contract(
    mounted(Files), "/api/files", lambda: {"filename": f"{next(numbers)}"}
)
TestSeats = viewset_contract(
    mounted(Seats),
    "/api/seats",
    lambda: {"row": next(numbers), "letter": "A", "guest": f"{next(numbers)}"},
)
TestCountries = viewset_contract(mounted(Countries), "/api/countries", country)


def test_a_contract_leaves_out_what_is_not_offered():
    names = {name for name in dir(TestNotes) if getattr(TestNotes, name) is not None}

    assert {name for name in names if name.startswith("test_")} == {
        "test_list_shows_what_the_schema_names",
        "test_malformed_is_422",
        "test_missing_is_404",
        "test_nonsense_in_the_query_is_no_error_of_the_server",
    }


def test_a_contract_of_everything_has_every_test():
    kept = [
        x for x in dir(TestUsers) if x.startswith("test_") and getattr(TestUsers, x)
    ]

    assert len(kept) == 20


# What breaks a view set, and the test that says so


class Broken(FullViewSet):
    db_model = User
    pydantic_model = UserOut


class HalfGuarded(Broken):
    action_dependencies = MappingProxyType(
        dict.fromkeys(
            ("list", "create", "update", "partial_update", "delete"), (Depends(who),)
        )
    )


class Leaky(Broken):
    async def db_create(self, item, aorm):
        return await aorm.create_item({**item.model_dump(), "id": 2147483647}, User)


class NoReplacement(Broken):
    async def db_update(self, item_id, item, aorm):
        return await aorm.get_item(User, item_id)


class Careless(Broken):
    async def db_update(self, item_id, item, aorm):
        return await aorm.update_item(User, item_id, {"email": "e", "login": "l"})


class Undead(Broken):
    async def db_delete(self, item_id, aorm):
        return True


class Talkative(ViewSetList, ViewSetCreate):
    db_model = User
    pydantic_model = UserOut

    def list(self):
        @self.router.get(self.prefix)
        async def rows() -> list[dict]:
            found = []
            with manager.session() as session:
                for each in session.query(User).all():
                    session.refresh(each)
                    found.append({"id": each.id, "email": each.email})
            return found


class Revealing(Talkative):
    def list(self):
        @self.router.get(self.prefix)
        async def rows() -> list[dict]:
            return [{"id": 1, "email": "e", "password_hash": "h"}]


class Lenient(Broken):
    create_schema = type(
        "Anything", (BaseModel,), {"__annotations__": {"email": object}, "email": ""}
    )


def contract(view, **settings):
    return viewset_contract(
        view, f"/api/{type(view).__name__.lower()}", user, **settings
    )()


half_guarded, no_replacement = mounted(HalfGuarded), mounted(NoReplacement)
careless, undead, talkative = mounted(Careless), mounted(Undead), mounted(Talkative)
revealing, lenient, leaky = mounted(Revealing), mounted(Lenient), mounted(Leaky)


def test_an_open_route_is_found(client):
    tests = contract(half_guarded, headers=OWNER)

    message = r"GET /api/halfguarded/2147483647 answered 404 instead of 401 or 403"
    with pytest.raises(AssertionError, match=message):
        tests.test_strangers_are_refused(client)


def test_a_missing_permission_is_found(client):
    tests = contract(half_guarded, headers=OWNER, forbidden=NOBODY)

    with pytest.raises(AssertionError, match="instead of 403"):
        tests.test_the_forbidden_are_refused(client)


def test_a_missing_scope_is_found(client):
    tests = contract(half_guarded, headers=OWNER, unrelated=OTHER)

    with pytest.raises(AssertionError, match="answered 200 instead of 404"):
        tests.test_rows_of_others_are_missing(client)


def test_too_many_queries_are_found(client):
    tests = contract(users, headers=OWNER, max_queries=1)
    tests.url = "/api/user"

    with pytest.raises(AssertionError, match="2 queries were executed, at most 1"):
        tests.test_list_shows_what_the_schema_names(client)


def test_a_query_for_each_row_is_found(client):
    tests = contract(talkative)

    with pytest.raises(AssertionError, match="5 queries were executed, at most 2"):
        tests.test_more_rows_cost_no_more_queries(client)


def test_a_field_that_no_schema_names_is_found(client):
    message = r"Fields are shown that the schema does not name: \['password_hash'\]"
    with pytest.raises(AssertionError, match=message):
        contract(revealing).test_list_shows_what_the_schema_names(client)


def test_a_chosen_key_is_found(client):
    with pytest.raises(AssertionError, match="A client chose the key 2147483647"):
        contract(leaky).test_a_generated_key_cannot_be_chosen(client)


def test_an_accepted_mistake_is_found(client):
    tests = contract(lenient, invalid=[{"email": "not an address"}])

    message = r"POST of .*not an address.* answered 201 instead of 422"
    with pytest.raises(AssertionError, match=message):
        tests.test_invalid_is_refused(client)


def test_a_replacement_without_effect_is_found(client):
    with pytest.raises(AssertionError, match=r"'email' was sent as .* but stayed"):
        contract(no_replacement).test_replaced_is_what_is_read(client)


def test_a_change_without_effect_is_found(client):
    with pytest.raises(AssertionError, match="'email' stayed"):
        contract(no_replacement).test_a_change_leaves_the_rest_alone(client)


def test_a_change_of_too_much_is_found(client):
    tests = viewset_contract(
        careless,
        "/api/careless",
        lambda: {**user(), "login": f"{next(numbers)}"},
    )()

    message = r"A change of 'email' changed \['login'\], too"
    with pytest.raises(AssertionError, match=message):
        tests.test_a_change_leaves_the_rest_alone(client)


def test_an_empty_change_with_an_effect_is_found(client):
    with pytest.raises(AssertionError, match=r"created: .*, but changed: "):
        contract(careless).test_empty_change_changes_nothing(client)


def test_a_row_that_stays_is_found(client):
    message = r"DELETE /api/undead/1 answered 204 instead of 404"
    with pytest.raises(AssertionError, match=message):
        contract(undead).test_deleted_is_gone(client)


def test_a_missing_row_that_can_be_deleted_is_found(client):
    message = r"DELETE /api/undead/2147483647 answered 204 instead of 404"
    with pytest.raises(AssertionError, match=message):
        contract(undead).test_missing_is_404(client)


# The checks of responses


def response(status, **content):
    return httpx2.Response(status, **content)


def test_check_response_json_leaves_keys_out_at_any_depth():
    body = {"id": 1, "name": "a", "files": [{"id": 2, "size": 3}]}
    expected = {"name": "a", "files": [{"size": 3}]}

    assert check_response_json(response(200, json=body), 200, expected, ["id"])


def test_check_response_json_shows_what_differs():
    body = {"id": 1, "items": [{"name": "Anna", "age": 3}], "page": 1}
    expected = {"items": [{"name": "Bert", "age": 3}], "page": 1}

    with pytest.raises(AssertionError) as caught:
        check_response_json(
            response(200, json=body), 200, expected, exclude_list=["id"]
        )

    assert str(caught.value).startswith("The JSON differs:\n--- expected\n+++ found\n")
    assert '\n-      "name": "Bert"\n+      "name": "Anna"\n' in str(caught.value)
    assert '"id"' not in str(caught.value)


def test_check_response_json_tells_a_value_from_its_text():
    key = uuid.UUID(int=1)

    with pytest.raises(AssertionError, match=r'-  "id": "UUID\('):
        check_response_json(response(200, json={"id": str(key)}), 200, {"id": key})
    with pytest.raises(AssertionError, match=r"expected \(1,\), found \[1\]"):
        check_response_json(response(200, json=[1]), 200, (1,))


def test_check_response_json_looks_at_the_status_first():
    answer = response(500, text="no JSON at all")

    with pytest.raises(
        AssertionError, match="The status is 500, expected 200: no JSON at all"
    ):
        check_response_json(answer, exp_status_code=200, exp_json={})


def test_rm_key_from_deep_dict_changes_what_it_gets():
    data = {"id": 1, "rows": [{"id": 2, "x": [[{"id": 3}]]}]}

    assert rm_key_from_deep_dict(data, keys=["id"]) is data
    assert data == {"rows": [{"x": [[{}]]}]}


def test_what_is_expected_can_be_used_again():
    answer, expected = (
        httpx2.Response(200, json={"name": "Ann"}),
        {"id": 1, "name": "Ann"},
    )

    check_response_json(answer, 200, expected, exclude_list=["id"])

    assert expected == {"id": 1, "name": "Ann"}


class ReadByAll(FullViewSet):
    db_model = Note
    pydantic_model = NoteOut
    action_dependencies = {  # noqa: RUF012
        action: (Depends(who),)
        for action in ("create", "update", "partial_update", "delete")
    }


def note():
    return {"text": f"note {next(numbers)}"}


async def credentials_of_owner():
    """Tell the credentials when a test runs, as a query for a user would."""
    return OWNER


# Collected as tests: what anybody reads, and credentials that are asked for late.
TestReadByAll = viewset_contract(
    mounted(ReadByAll),
    "/api/readbyall",
    note,
    headers=credentials_of_owner,
    public={"list", "retrieve"},
)


def test_public_action_that_asks_for_credentials_is_found(client):
    made = viewset_contract(
        users, "/api/user", user, headers=lambda: OWNER, public={"list"}
    )

    with pytest.raises(AssertionError, match="/api/user is public, but answered 401"):
        made().test_everybody_may_do_what_is_public(client)


def test_headers_are_not_asked_for_at_import():
    asked = []

    made = viewset_contract(users, "/api/user", user, headers=lambda: asked.append(1))

    assert (asked, made.test_strangers_are_refused is None) == ([], False)


def test_unknown_public_action_is_told():
    with pytest.raises(ValueError, match=r"no action \['read'\] to be public"):
        viewset_contract(users, "/api/user", user, public={"read"})
