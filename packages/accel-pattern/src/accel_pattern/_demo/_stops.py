"""What the tour looks at. Each stop says in one line what it saw, or raises."""

import re
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx

from accel_pattern._demo._run import Demo

PROBLEM = "application/problem+json"
FOREIGN = re.compile(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//[^"')\s]+""")


class UnexpectedSightError(Exception):
    """Raised when a stop shows something else than it should."""

    def __init__(self, seen: object, expected: object) -> None:
        super().__init__(f"saw {seen!r} instead of {expected!r}")


def expect(seen: object, expected: object) -> None:
    """Make sure that both are equal."""
    if seen != expected:
        raise UnexpectedSightError(seen, expected)


@dataclass
class Visitor:
    """Somebody who walks through the demonstration."""

    demo: Demo
    client: httpx.Client
    headers: dict[str, str] = field(default_factory=dict)

    def call(
        self, method: str, path: str, status: int = HTTPStatus.OK, **options: Any
    ) -> httpx.Response:
        """Send a request, and make sure of the status of the answer."""
        options.setdefault("headers", self.headers)
        response = self.client.request(method, path, **options)
        if response.status_code != status:
            raise UnexpectedSightError(
                f"{method} {path}: {response.status_code} {response.text[:300]}", status
            )
        return response

    def upstream(self, mode: str) -> None:
        """Switch the bundled upstream to *mode*."""
        httpx.post(f"{self.demo.upstream}/mode/{mode}").raise_for_status()


def health(visitor: Visitor) -> str:
    """Ask whether it runs."""
    version = visitor.call("GET", "/healthcheck").json()["version"]
    checks = visitor.call("GET", "/readyz").json()["checks"]
    return f"version {version}; ready: {', '.join(sorted(checks))}"


def offline_pages(visitor: Visitor) -> str:
    """Look for anything that a page would load from elsewhere."""
    paths = ("/", "/docs", "/docintegration", "/admin/login")
    for path in paths:
        page = visitor.call("GET", path, follow_redirects=True).text
        expect(FOREIGN.findall(_without_links(page)), [])
    size = len(visitor.call("GET", "/static-docs/swagger-ui-bundle.js").content)
    return f"{', '.join(paths)} load nothing from elsewhere; Swagger UI is ours ({size // 1024} KiB)"


def _without_links(page: str) -> str:
    """Drop what a reader may follow and a browser does not load."""
    return re.sub(r"<a\s[^>]*>", "", page)


def login(visitor: Visitor) -> str:
    """Log in, and look at what a token opens."""
    path, protected = "/token", "/api/v1/taskexecution"
    form = {"username": visitor.demo.username, "password": "wrong"}
    visitor.call("POST", path, 401, data=form)
    challenge = visitor.call("GET", protected, 401).headers["www-authenticate"]
    form["password"] = visitor.demo.password
    token = visitor.call("POST", path, data=form).json()["access_token"]
    visitor.headers["Authorization"] = f"Bearer {token}"
    visitor.call("GET", protected)
    return f"401 ({challenge}) without a token, 200 with one"


def rows(visitor: Visitor) -> str:
    """Create, read, change, replace and delete a row."""
    made = visitor.call("POST", "/api/v1/file", 201, json={"filename": "a.txt"})
    location = httpx.URL(made.headers["location"]).path
    expect(visitor.call("GET", location).json()["filename"], "a.txt")
    changed = visitor.call("PATCH", location, json={"size": 7}).json()
    expect((changed["filename"], changed["size"]), ("a.txt", 7))
    replaced = visitor.call("PUT", location, json={"filename": "b.txt"}).json()
    expect((replaced["filename"], replaced["size"]), ("b.txt", 0))
    visitor.call("DELETE", location, 204)
    visitor.call("GET", location, 404)
    return f"201 at {location}, 200, PATCH, PUT, 204, then 404"


def pages(visitor: Visitor) -> str:
    """Read a list page by page."""
    first = visitor.call("GET", "/api/v1/file", params={"size": 3}).json()
    second = visitor.call("GET", "/api/v1/file", params={"size": 3, "page": 2}).json()
    uids = {item["uid"] for item in [*first["items"], *second["items"]]}
    expect(len(uids), 6)
    found = visitor.call("GET", "/api/v1/file", params={"search": "report"}).json()
    return f"{first['total']} rows on {first['pages']} pages; a search finds {found['total']}"


def conflict(visitor: Visitor) -> str:
    """Break a rule of the database."""
    person = {
        "name": "Alice",
        "login": "alice2",
        "email": "alice@example.com",
        "password": "correct horse",
    }
    answer = visitor.call("POST", "/api/v1/user", 409, json=person).json()
    hidden = visitor.call("GET", "/api/v1/user").text
    expect("password" in hidden, False)
    return f"409: {answer['detail']}"


def deep_write(visitor: Visitor) -> str:
    """Write a task with its people and its work in one document."""
    work = {"start_time": "2026-02-02T09:00:00Z"}
    task = {"name": "Tour", "users": [{"id": 1}], "executions": [work, work]}
    made = visitor.call("POST", "/api/v1/task", 201, json=task)
    location = httpx.URL(made.headers["location"]).path
    kept = made.json()["executions"][0]
    kept["end_time"] = "2026-02-02T10:30:00Z"
    change = {"users": [{"id": 1}, {"id": 2}], "executions": [kept, work]}
    changed = visitor.call("PATCH", location, json=change).json()
    ends = {item["id"]: item["end_time"] for item in changed["executions"]}
    expect((len(ends), ends[kept["id"]]), (2, kept["end_time"]))
    expect([user["id"] for user in changed["users"]], [1, 2])
    visitor.call("DELETE", location, 204)
    return "a task, 2 people and 3 pieces of work: created, matched by key, deleted"


def transaction(visitor: Visitor) -> str:
    """Let the third of several writes fail, and look what is left of the first two."""
    task = visitor.call("GET", "/api/v1/task/1").json()
    path, worker = "/api/v1/task/1/handover", task["users"][0]["id"]
    visitor.call("POST", path, 404, json={"from_user": worker, "to_user": 10**6})
    expect(visitor.call("GET", "/api/v1/task/1").json(), task)
    newcomer = max(user["id"] for user in task["users"]) + 1
    visitor.call("POST", path, json={"from_user": worker, "to_user": newcomer})
    after = visitor.call("GET", "/api/v1/task/1").json()
    expect(worker in [user["id"] for user in after["users"]], False)
    expect(all(work["end_time"] for work in after["executions"]), True)
    return "a failed handover left nothing behind; a good one wrote everything"


def cache(visitor: Visitor) -> str:
    """Read twice, write, read again."""
    path = "/api/v1/file?size=5"
    made = visitor.call("POST", "/api/v1/file", 201, json={"filename": "first"})
    location = httpx.URL(made.headers["location"]).path
    states = [visitor.call("GET", path).headers["x-cache"] for _ in range(2)]
    visitor.call("PATCH", location, json={"filename": "second"})
    states.append(visitor.call("GET", path).headers["x-cache"])
    visitor.call("DELETE", location, 204)
    expect(states, ["MISS", "HIT", "MISS"])
    return "MISS, HIT, a write, MISS"


def _translate(
    visitor: Visitor, text: str, status: int = HTTPStatus.OK
) -> httpx.Response:
    params = {"text": text, "to_lang": "ru"}
    return visitor.call("GET", "/api/v1/translate", status, params=params)


def integration(visitor: Visitor) -> str:
    """Call a service of somebody else."""
    visitor.upstream("steady")
    text = _translate(visitor, "hello").json()["text"]
    expect(text, "привет")
    return f"hello is {text}"


def retry(visitor: Visitor) -> str:
    """Let every second call of the upstream fail."""
    visitor.upstream("flaky")
    texts = [_translate(visitor, word).json()["text"] for word in ("cat", "dog")]
    expect(texts, ["кошка", "собака"])
    return "every second call failed, every request was answered"


def breaker(visitor: Visitor) -> str:
    """Let the upstream go down, and come back."""
    visitor.upstream("down")
    statuses = [_translation_status(visitor, f"word {number}") for number in range(5)]
    expect(statuses[-1], HTTPStatus.SERVICE_UNAVAILABLE)
    started = time.perf_counter()
    refused = _translate(visitor, "house", HTTPStatus.SERVICE_UNAVAILABLE)
    fast = (time.perf_counter() - started) * 1000
    after = int(refused.headers["retry-after"])
    visitor.upstream("steady")
    deadline = time.monotonic() + after + 10
    while _translation_status(visitor, "world") != HTTPStatus.OK:
        if time.monotonic() > deadline:
            raise UnexpectedSightError("a breaker that stays open", "one that closes")
        time.sleep(0.1)
    return f"opened, refused in {fast:.0f} ms (Retry-After: {after}), closed again"


def _translation_status(visitor: Visitor, text: str) -> int:
    params = {"text": text, "to_lang": "ru"}
    return visitor.client.get("/api/v1/translate", params=params).status_code


def docintegration(visitor: Visitor) -> str:
    """Read what is known about the integration."""
    page = visitor.call("GET", "/docintegration", follow_redirects=True).text
    expect("Google Translate" in page and "translateHtml" in page, True)
    return f"describes Google Translate, its state and its policy ({len(page) // 1024} KiB)"


def admin_panel(visitor: Visitor) -> str:
    """Log in to the admin panel, and look at the people."""
    with httpx.Client(base_url=visitor.demo.url, follow_redirects=True) as browser:
        form = {"username": visitor.demo.username, "password": "wrong"}
        expect("Log" in _submit_login(browser, form).text, True)
        expect(browser.get("/admin/user/").url.path.endswith("/login"), True)
        form["password"] = visitor.demo.password
        _submit_login(browser, form)
        people = browser.get("/admin/user/")
    expect(
        ("alice@example.com" in people.text, "password" in people.text), (True, False)
    )
    return "a wrong password stays out, the right one sees the people"


def _submit_login(browser: httpx.Client, form: dict[str, str]) -> httpx.Response:
    page = browser.get("/admin/login")
    match = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
    if match is None:
        raise UnexpectedSightError(page.text[:200], "a login form with a CSRF token")
    return browser.post(str(page.url), data={**form, "csrf_token": match[1]})


def errors(visitor: Visitor) -> str:
    """Look at an error."""
    answer = visitor.call("GET", "/api/v1/user/0?secret=1", 404)
    expect(answer.headers["content-type"], PROBLEM)
    problem = answer.json()
    expect("secret" in answer.text, False)
    expect(answer.headers["x-request-id"] != "", True)
    return f"{PROBLEM}: {problem['title']}, error_id {problem['error_id'][:8]}…"


def time_zone(visitor: Visitor) -> str:
    """Ask for the time of the service."""
    now: str = visitor.call("GET", "/api/v1/time").json()
    expect(now.endswith("Z"), True)
    return f"it is {now}, in UTC"


STOPS = (
    health,
    offline_pages,
    login,
    rows,
    pages,
    conflict,
    deep_write,
    transaction,
    cache,
    integration,
    retry,
    breaker,
    docintegration,
    admin_panel,
    errors,
    time_zone,
)
