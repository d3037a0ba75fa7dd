"""A real browser, and panels on real servers for it."""

import shutil
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import uvicorn
from fastapi import FastAPI
from werkzeug.serving import make_server

from accel_admin import mount_admin

from ..models import MODELS, db as manager  # noqa: TID252  # never installed
from ..visitor import HASH, KEY, PASSWORD  # noqa: TID252  # never installed

# Told to the page's list of complaints as soon as the policy stops anything.
WATCH_POLICY = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
"""


@dataclass
class Witness:
    """What a page did that it should not have done, and what it asked."""

    answer: bool = False
    questions: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def watch(self, page):
        tell = self.complaints.append
        page.add_init_script(WATCH_POLICY)
        page.on("console", lambda message: tell(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: tell(str(error)))
        page.on("request", lambda request: self._check_host(request.url))
        page.on("requestfailed", self._check_failure)
        page.on("response", self._check_status)
        page.on("dialog", self._answer)

    def _check_host(self, url):
        if not url.startswith(("http://127.0.0.1:", "data:")):
            self.complaints.append(f"foreign: {url}")

    def _check_failure(self, request):
        # Leaving a page, as for a download, ends what it still loads.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"{request.failure}: {request.url}")

    def _check_status(self, response):
        if response.status >= 400:
            self.complaints.append(f"{response.status}: {response.url}")

    def _answer(self, dialog):
        self.questions.append(dialog.message)
        if self.answer:
            dialog.accept()
        else:
            dialog.dismiss()


@pytest.fixture(scope="module")
def chromium():
    """Give a browser, or say what is missing."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("the program `chromium` is missing")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is missing")
    arguments = ["--no-sandbox", "--disable-background-networking"]
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Give a function that opens a page at an address, under the eyes of a witness."""
    contexts, witness = [], Witness()

    def open_page(address):
        contexts.append(chromium.new_context(base_url=address))
        page = contexts[-1].new_page()
        witness.watch(page)
        page.witness = witness
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert witness.complaints == []


def log_in(page):
    page.goto("")
    page.fill("#username", "admin")
    page.fill("#password", PASSWORD)
    page.click("button")
    page.wait_for_load_state()


@contextmanager
def alone(app):
    """Serve a Flask app; give the address of its panel."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/admin/"
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def mounted(**options):
    """Serve a panel in a FastAPI app below a prefix; give its address."""
    inner, outer = FastAPI(), FastAPI()
    mount_admin(inner, KEY, HASH, "admin", MODELS, manager, **options)
    outer.mount("/shop", inner)
    config = uvicorn.Config(outer, port=0, log_level="warning", lifespan="off")
    socket = config.bind_socket()
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    yield f"http://127.0.0.1:{socket.getsockname()[1]}/shop/admin/"
    server.should_exit = True
    thread.join()
    socket.close()


@pytest.fixture(params=["alone", "mounted"])
def address(request, db, build):
    """Give the address of a panel, on each database and under each roof."""
    server = alone(build()[0]) if request.param == "alone" else mounted()
    with server as address:
        yield address
