"""Many people at once, on a real server, and a database that goes away."""

import http.client
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa
from werkzeug.serving import make_server

from .models import Label, Note, Person, db as manager
from .visitor import PASSWORD, TOKEN, Visitor


@pytest.fixture
def port(db, build):
    with manager.transaction() as session:
        people = [Person(id=n, name=f"P{n}") for n in range(30)]
        session.add_all(people)
        session.add_all(Note(text="x", author=person) for person in people)
    server = make_server("127.0.0.1", 0, build()[0], threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


class Browser:
    """A browser with one connection."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.cookie = ""

    def ask(self, method, path, **form):
        headers = {
            "Cookie": self.cookie,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        self.connection.request(method, path, urlencode(form), headers)
        answer = self.connection.getresponse()
        self.cookie = (answer.getheader("Set-Cookie") or self.cookie).split(";")[0]
        return answer.status, answer.read().decode()

    def log_in(self):
        token = TOKEN.search(self.ask("GET", "/admin/login")[1])[1]
        form = {"username": "admin", "password": PASSWORD, "csrf_token": token}
        return self.ask("POST", "/admin/login", **form)

    def use(self, number):
        """Read and write for a while; return how it went."""
        self.log_in()
        page = self.ask("GET", "/admin/label/new/")[1]
        token = TOKEN.search(page)[1]
        statuses = []
        for n in range(5):
            code = f"{number}-{n}"
            statuses += [
                self.ask("GET", "/admin/note/")[0],
                self.ask("GET", f"/admin/person/edit/?id={n}")[0],
                self.ask("POST", "/admin/label/new/", csrf_token=token, code=code)[0],
            ]
        self.connection.close()
        return statuses


def test_eight_threads_get_all_their_answers(port):
    browsers = [Browser(port) for _ in range(8)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda x: x[1].use(x[0]), enumerate(browsers)))

    assert answers == [[200, 200, 302] * 5] * 8
    with manager.session() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Label)) == 40


def test_each_request_has_a_session_of_its_own_and_ends_it(admin, sqlite, panel):
    seen = []
    session_factory = manager.session

    def spy():
        seen.append(session_factory())
        return seen[-1]

    manager.session = spy
    try:
        admin.get("/admin/person/")
        admin.get("/admin/person/")
    finally:
        manager.session = session_factory

    assert len(seen) == 2
    assert not any(session.in_transaction() for session in seen)
    assert panel.database.registry.registry == {}


def test_a_request_that_fails_leaves_nothing_behind(sqlite, build):
    app, panel = build()
    app.config["PROPAGATE_EXCEPTIONS"] = False

    def broken(*_):
        panel.database.add(Label(code="red"))
        panel.database.flush()
        raise RuntimeError("broken")

    panel.model_views()[0].get_list = broken
    visitor = Visitor(app)
    visitor.log_in()

    answer = visitor.get("/admin/person/")

    assert answer.status_code == 500
    assert panel.database.registry.registry == {}
    with manager.session() as session:
        assert session.get(Label, "red") is None


def test_a_database_that_is_down_is_said_to_be(sqlite, build):
    visitor = Visitor(build()[0])
    visitor.log_in()

    with manager.override("postgresql://nobody@127.0.0.1:1/nothing"):
        paths = ["", "person/", "person/edit/?id=1", "person/export/csv/"]
        answers = [visitor.get(f"/admin/{path}") for path in paths]

    assert [answer.status_code for answer in answers] == [503] * 4
    assert "127.0.0.1" not in answers[0].text


def test_a_write_while_the_database_is_down_is_refused(sqlite, build):
    visitor = Visitor(build()[0])
    visitor.log_in()
    form = {"text": "x", "csrf_token": visitor.token()}

    with manager.override("postgresql://nobody@127.0.0.1:1/nothing"):
        answer = visitor.client.post("/admin/note/new/", data=form)

    assert answer.status_code == 503
