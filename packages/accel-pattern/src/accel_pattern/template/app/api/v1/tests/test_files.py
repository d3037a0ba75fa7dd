"""Files."""

import uuid

from accel_pattern.testing import (
    BasePytest,
    apply_fixture_db,
    check_response_json,
    track_queries,
)

from app.fixture.utils import export_fixture_files

URL = "/api/v1/file"


def test_create_and_read(client):
    created = client.post(URL, json={"filename": "a.txt", "size": 3})
    read = client.get(created.headers["location"])

    assert created.status_code == 201
    check_response_json(
        read,
        200,
        {"filename": "a.txt", "size": 3, "owner_id": None},
        exclude_list=["uid"],
    )


def test_client_never_sets_the_key(client):
    key = str(uuid.uuid4())

    created = client.post(URL, json={"uid": key, "filename": "a.txt"})

    assert created.status_code in {201, 422}
    assert client.get(f"{URL}/{key}").status_code == 404


def test_unknown_owner_is_a_conflict(client):
    answer = client.post(URL, json={"filename": "a.txt", "owner_id": 10**6})

    assert answer.status_code == 409


class TestPages(BasePytest):
    @apply_fixture_db(export_fixture_files)
    def setUp(self):
        self.url = URL

    def test_total_counts_every_row(self, client, db_manager):
        with track_queries(db_manager, max_count=2):
            page = client.get(self.url, params={"page": 2, "size": 5}).json()

        assert (page["page"], page["size"], page["total"]) == (2, 5, 12)
        assert len(page["items"]) == 5

    def test_search_and_order(self, client):
        query = {"search": "file-1", "ordering": "-size"}

        page = client.get(self.url, params=query).json()

        assert [item["size"] for item in page["items"]] == [11, 10]
