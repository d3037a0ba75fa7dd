"""View sets: the router of the seed, over HTTP."""

import uuid

import pytest


def person(unique, **changes):
    return {
        "name": "Ann",
        "login": unique,
        "pthone": "+1",
        "email": f"{unique}@a",
    } | changes


def test_files_live_through_their_life(client, unique):
    created = client.post("/api/v1/file", json={"filename": unique})
    uid = created.json()["uid"]
    read = client.get(f"/api/v1/file/{uid}")
    replaced = client.put(f"/api/v1/file/{uid}", json={"filename": f"{unique}!"})
    deleted = client.delete(f"/api/v1/file/{uid}")
    missing = client.get(f"/api/v1/file/{uid}")

    assert created.status_code == 201
    assert created.headers["Location"] == f"/api/v1/file/{uid}"
    assert read.json() == {"uid": uid, "filename": unique}
    assert replaced.json() == {"uid": uid, "filename": f"{unique}!"}
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert missing.status_code == 404


def test_files_come_in_pages_with_a_total(client, unique):
    before = client.get("/api/v1/file").json()["total"]
    for number in range(3):
        client.post("/api/v1/file", json={"filename": f"{unique}-{number}"})

    page = client.get("/api/v1/file", params={"page": 2, "size": 2}).json()

    assert page["total"] == before + 3
    assert (page["page"], page["size"]) == (2, 2)
    assert page["count"] == len(page["items"]) == min(2, before + 1)


def test_a_write_ends_what_was_cached(client, unique):
    uid = client.post("/api/v1/file", json={"filename": unique}).json()["uid"]
    path = f"/api/v1/file/{uid}"

    first, second = client.get(path), client.get(path)
    client.put(path, json={"filename": "other"})
    third = client.get(path)

    assert [r.headers["X-Cache"] for r in (first, second)] == ["MISS", "HIT"]
    assert (third.headers["X-Cache"], third.json()["filename"]) == ("MISS", "other")


def test_a_plain_endpoint_ends_what_a_view_set_cached(client, unique):
    uid = client.post("/api/v1/file", json={"filename": unique}).json()["uid"]
    client.get(f"/api/v1/file/{uid}")

    client.put(f"/crud/file/{uid}")

    assert client.get(f"/api/v1/file/{uid}").json()["filename"] == "new"


def test_the_overridden_list_of_users_has_no_pages(client, unique):
    created = client.post("/api/v1/user", json=person(unique)).json()

    found = client.get("/api/v1/user", params={"limit": 1000}).json()
    part = client.get("/api/v1/user", params={"skip": 0, "limit": 1}).json()

    assert created in found
    assert len(part) == 1


def test_two_users_with_one_address_collide(client, unique):
    client.post("/api/v1/user", json=person(unique))

    response = client.post("/api/v1/user", json=person(unique, login="other"))

    assert response.status_code == 409
    assert response.headers["content-type"] == "application/problem+json"
    assert "email" in response.json()["detail"]


def test_a_body_without_its_fields_is_refused(client):
    response = client.post("/api/v1/user", json={"name": "Ann"})

    assert response.status_code == 422
    assert {tuple(error["loc"]) for error in response.json()["detail"]} == {
        ("body", "login"),
        ("body", "email"),
    }


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_user_who_is_not_there_is_not_found(client, unique, method):
    body = {"json": person(unique)} if method == "PUT" else {}

    response = client.request(method, "/api/v1/user/2000000000", **body)

    assert response.status_code == 404


def test_a_key_that_is_no_key_is_refused(client):
    assert client.get("/api/v1/file/no-uuid").status_code == 422
    assert client.get(f"/api/v1/file/{uuid.uuid4()}").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("POST", ""),
        ("GET", "/1"),
        ("PUT", "/1"),
        ("PATCH", "/1"),
        ("DELETE", "/1"),
    ],
)
def test_task_executions_are_for_those_who_log_in(client, method, path):
    response = client.request(method, f"/api/v1/taskexecution{path}")

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def execution(unique):
    steps = [{"name": "dig"}, {"name": "fill"}]
    return {"seconds": 7, "task": {"name": unique}, "steps": steps}


def test_nested_schemas_are_written_and_read_as_rows(client, logged_in, unique):
    path = "/api/v1/taskexecution"

    created = client.post(path, json=execution(unique), headers=logged_in)
    body = created.json()
    read = client.get(f"{path}/{body['id']}", headers=logged_in)

    assert created.status_code == 201
    assert body["task"] == {"id": body["task"]["id"], "name": unique}
    assert [step["name"] for step in body["steps"]] == ["dig", "fill"]
    assert read.json() == body


def test_nested_schemas_are_updated(client, logged_in, unique):
    path = "/api/v1/taskexecution"
    body = client.post(path, json=execution(unique), headers=logged_in).json()
    dig, _ = body["steps"]
    steps = [dig | {"name": "dig deep"}, {"name": "rest"}]

    changed = client.put(
        f"{path}/{body['id']}", json=body | {"steps": steps}, headers=logged_in
    ).json()

    ids = {step["name"]: step["id"] for step in changed["steps"]}
    assert ids.keys() == {"dig deep", "rest"}
    assert ids["dig deep"] == dig["id"]


def test_nested_schemas_are_deleted(client, logged_in, unique):
    path = "/api/v1/taskexecution"
    body = client.post(path, json=execution(unique), headers=logged_in).json()

    deleted = client.delete(f"{path}/{body['id']}", headers=logged_in)

    assert deleted.status_code == 204
    assert client.get(f"{path}/{body['id']}", headers=logged_in).status_code == 404


def test_nested_schemas_come_in_pages(client, logged_in, unique):
    path = "/api/v1/taskexecution"
    body = client.post(path, json=execution(unique), headers=logged_in).json()

    page = client.get(path, params={"size": 1000}, headers=logged_in).json()

    assert body in page["items"]
    assert page["total"] == page["count"]


def test_openapi_names_each_view_set(client):
    document = client.get("/openapi.json").json()

    tags = {tag["name"]: tag["description"] for tag in document["tags"]}
    assert document["paths"]["/api/v1/file"]["get"]["tags"] == ["FileViewSet"]
    assert document["paths"]["/api/v1/user"]["get"]["tags"] == ["UserViewSet"]
    assert tags.keys() >= {"FileViewSet", "UserViewSet", "TaskExecutionViewSet"}
    assert "View for working with files" in tags["FileViewSet"]
    assert "dependencies" in tags["TaskExecutionViewSet"]
