"""A day in the panel, from the login to the logout, in a real browser."""

import csv
from pathlib import Path

import pytest
import sqlalchemy as sa

from ..models import Note, Person, db as manager  # noqa: TID252  # never installed
from .conftest import log_in


@pytest.fixture
def page(address, open_page):
    """Give a page that is logged in."""
    with manager.transaction() as session:
        session.add_all(
            [Person(id=100 + n, name=f"Person {n}") for n in range(25)],
        )
    page = open_page(address)
    log_in(page)
    return page


def rows():
    with manager.session() as session:
        notes = session.scalars(sa.select(Note).order_by(Note.text))
        return [(note.text, str(note.author or "")) for note in notes]


def shows(page, *texts):
    """Wait until the list has these texts, and the page all of its scripts."""
    from playwright.sync_api import expect

    cells = page.locator(".model-list tbody td:nth-child(4)")
    expect(cells).to_have_text(list(texts), use_inner_text=True)
    page.wait_for_load_state()


def lists(page, count):
    """Wait until the list has so many rows, which UUIDs put in any order."""
    from playwright.sync_api import expect

    expect(page.locator(".model-list tbody tr")).to_have_count(count)
    page.wait_for_load_state()


def save(page):
    page.click("button:text-is('Save')")
    page.wait_for_selector(".alert-success")
    page.wait_for_load_state()


def create(page, text):
    page.click("a:text-is('Create')")
    page.fill("textarea[name=text]", text)
    save(page)


def relate(page, name):
    """Search for *name* in the box of the relation, and choose it."""
    page.click(".select2-choice")
    page.keyboard.type(name)
    # A click, for Enter chooses nothing while the box is still searching.
    page.click(f".select2-result-label:has-text('{name}')")
    page.wait_for_selector(".select2-drop-active", state="hidden")


def export(page):
    with page.expect_download() as download:
        page.click("text=Export CSV")
    with Path(download.value.path()).open(newline="") as file:
        return list(csv.reader(file))


def test_a_day_in_the_panel(page):
    # The rows of this model have UUIDs for keys.
    page.click(".menu >> text=Note")
    for text in ("Apple", "Banana", "=1+1"):
        create(page, text)

    page.click("tr:has-text('Apple') a[title*='Edit']")
    page.fill("textarea[name=text]", "Apricot")
    relate(page, "Person 17")
    save(page)

    assert rows() == [("=1+1", ""), ("Apricot", "Person 17"), ("Banana", "")]

    page.fill("input[type=search]", "an")
    page.click("button:text-is('Search')")
    shows(page, "Banana")
    page.click("text=Clear")
    lists(page, 3)

    page.click("text=Add filter")
    page.click(".field-filters >> text=Text")
    page.fill(".filter-val", "ric")
    page.click("text=Apply")
    page.wait_for_selector("text=Reset filters")
    shows(page, "Apricot")
    assert [row[1:] for row in export(page)[1:]] == [["Apricot", "Person 17"]]
    page.click("text=Reset filters")
    lists(page, 3)

    page.click("th >> text=Text")
    shows(page, "=1+1", "Apricot", "Banana")
    page.click("th >> text=Text")
    shows(page, "Banana", "Apricot", "=1+1")
    assert [row[1] for row in export(page)[1:]] == ["Banana", "Apricot", "'=1+1"]

    # A question that is answered by No deletes nothing.
    page.click("tr:has-text('Banana') button[title=Delete]")
    assert len(rows()) == 3
    page.witness.answer = True
    page.click("tr:has-text('Banana') button[title=Delete]")
    page.wait_for_selector(".alert-success")
    lists(page, 2)
    page.check("tr:has-text('Apricot') input[name=rowid]")
    page.click("text=With selected")
    page.click("button.dropdown-item")
    page.wait_for_selector("text=1 deleted.")
    assert rows() == [("=1+1", "")]

    page.click("text=Log out")
    page.wait_for_selector("#username")
    page.goto("note/")

    assert page.url.split("?")[0].endswith("/admin/login")
    assert page.witness.questions == [
        "Delete this record?",
        "Delete this record?",
        "Delete the selected records?",
    ]
