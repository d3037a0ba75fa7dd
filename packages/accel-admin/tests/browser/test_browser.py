"""What only a browser shows: scripts, questions, and the content security policy.

Needs Chromium, and the package `playwright` to drive it.
"""

import pytest
import sqlalchemy as sa

from accel_admin import ModelView

from ..models import Note, Person, db as manager  # noqa: TID252  # never installed
from .conftest import alone, log_in

EVIL = "<img src=x onerror=alert(1)>"


class PersonView(ModelView):
    inline_models = (Note,)


@pytest.fixture
def server(sqlite, build):
    with manager.transaction() as session:
        session.add_all([Person(id=1, name="Ann"), Person(id=2, name=EVIL)])
    app, _ = build(views={Person: PersonView})
    with alone(app) as address:
        yield address


@pytest.fixture
def page(server, open_page):
    """Give a page that is logged in."""
    page = open_page(server)
    log_in(page)
    return page


def names():
    with manager.session() as session:
        return sorted(session.scalars(sa.select(Person.name)))


@pytest.mark.parametrize("answer", [False, True])
def test_delete_asks(page, answer):
    page.witness.answer = answer
    page.goto("person/")
    page.click(".row-actions button >> nth=0")
    page.wait_for_load_state()

    assert page.witness.questions == ["Delete this record?"]
    assert ("Ann" in names()) is not answer


def test_an_action_asks_and_needs_a_selection(page):
    page.witness.answer = True
    page.goto("person/")
    for _ in range(2):
        page.click("text=With selected")
        page.click("button.dropdown-item")
        page.wait_for_load_state()
        if len(page.witness.questions) == 1:
            page.check("#select-all")

    assert page.witness.questions == [
        "Select at least one record first.",
        "Delete the selected records?",
    ]
    assert names() == []


def test_a_relation_is_searched_and_shown_as_text(page):
    page.goto("note/new/")
    page.fill("textarea", "From a browser")
    page.click(".select2-choice")
    page.keyboard.type("onerror")
    page.wait_for_selector(".select2-result-label")
    page.keyboard.press("Enter")
    page.click("text=Save >> nth=0")
    page.wait_for_selector(".alert-success")

    assert EVIL in page.inner_text(".model-list")
    assert page.witness.questions == []


def test_a_child_is_added_inline(page):
    page.goto("person/edit/?id=1")
    page.click("text=Add Notes")
    page.fill("textarea[name=notes-0-text]", "Inline")
    page.click("text=Save >> nth=0")
    page.wait_for_selector(".alert-success")

    with manager.session() as session:
        assert [note.text for note in session.get(Person, 1).notes] == ["Inline"]


def test_a_filter_is_chosen_and_applied(page):
    page.goto("person/")
    page.click("text=Add filter")
    page.click(".field-filters >> text=Name")
    page.fill(".filter-val", "Ann")
    page.click("text=Apply")
    page.wait_for_selector("text=Reset filters")

    assert page.locator("tbody tr").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pages_fit_and_follow_the_colours_of_the_system(page, scheme, width):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})

    for path in ("", "person/", "person/new/", "person/details/?id=1"):
        page.goto(path)
        body = page.evaluate("getComputedStyle(document.body).backgroundColor")
        overflow = page.evaluate("document.documentElement.scrollWidth > innerWidth")
        assert (sum(map(int, body[4:-1].split(","))) > 384) is (scheme == "light")
        assert not overflow, path


def test_an_open_menu_is_as_dark_as_the_page(page):
    page.emulate_media(color_scheme="dark")
    page.goto("person/")

    page.click("text=Add filter")

    toggle = page.locator(".nav-item.show .nav-link")
    colour = toggle.evaluate("link => getComputedStyle(link).backgroundColor")
    assert colour == "rgba(0, 0, 0, 0)"
