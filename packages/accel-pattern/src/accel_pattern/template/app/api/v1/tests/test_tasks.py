"""Tasks, the people on them, and their work."""

from accel_pattern.testing import BaseAuthJwtPytest, apply_fixture_db
from sqlalchemy import select

from app.fixture.utils import export_fixture_task
from app.models import Task, TaskExecution


def test_work_is_for_those_who_log_in(client):
    assert client.get("/api/v1/taskexecution").status_code == 401


class TestTasks(BaseAuthJwtPytest):
    @apply_fixture_db(export_fixture_task)
    def setUp(self, fixtures):
        self.rows = fixtures
        self.url = f"/api/v1/task/{fixtures.task.id}"

    def test_task_comes_with_people_and_work(self, client):
        task = client.get(self.url).json()

        assert [user["name"] for user in task["users"]] == ["Alice"]
        assert [work["id"] for work in task["executions"]] == [self.rows.work.id]

    def test_work_comes_with_its_task(self, client):
        page = client.get("/api/v1/taskexecution").json()

        assert page["items"][0]["task"]["name"] == "Annual report"

    def test_handover_writes_everything(self, client, db_session):
        people = {"from_user": self.rows.alice.id, "to_user": self.rows.bob.id}

        answer = client.post(f"{self.url}/handover", json=people)

        assert [user["name"] for user in answer.json()["users"]] == ["Bob"]
        work = db_session.get(TaskExecution, self.rows.work.id)
        assert work.end_time is not None

    def test_handover_writes_nothing_when_it_fails(self, client, db_session):
        people = {"from_user": self.rows.alice.id, "to_user": 10**6}

        answer = client.post(f"{self.url}/handover", json=people)

        assert answer.status_code == 404
        work = db_session.get(TaskExecution, self.rows.work.id)
        assert work.end_time is None
        task = db_session.scalar(select(Task))
        assert [user.name for user in task.users] == ["Alice"]
