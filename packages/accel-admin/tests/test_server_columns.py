"""Columns that the database or accel-db fills in, and nobody by hand."""

import re

import pytest
import sqlalchemy as sa

from accel_admin import ModelView

from .models import Paper, Remark, db as manager
from .visitor import Visitor

OFFERED = {"text", "paper", "state", "shown", "hint", "opens"}
FORGED = {
    "created_by": "the boss",
    "updated_by": "the boss",
    "created_at": "1999-01-01T00:00:00",
    "updated_at": "1999-01-01T00:00:00",
    "deleted_at": "1999-01-01T00:00:00",
}


def fields(page, prefix=""):
    found = re.findall(rf'name="{prefix}([a-z_]+)"', page)
    return set(found) - {"csrf_token", "viewport", "_add_another", "_continue_editing"}


def the(model):
    everything = sa.select(model).execution_options(include_deleted=True)
    with manager.session() as session:
        return session.scalars(everything).one()


def test_a_form_asks_for_none_of_them(admin_on, db):
    with db.transaction() as session:
        session.add(Remark(id=1, text="One"))

    new = admin_on.get("/admin/remark/new/").text
    edit = admin_on.get("/admin/remark/edit/?id=1").text

    assert fields(new) == fields(edit) == OFFERED


def test_nobody_signs_as_somebody_else_nor_dates_a_row_back(admin_on):
    admin_on.post("/admin/paper/new/", {"title": "One", **FORGED})
    created = the(Paper)
    admin_on.post(f"/admin/paper/edit/?id={created.id}", {"title": "Two", **FORGED})
    edited = the(Paper)

    assert (created.created_by, created.updated_by) == ("admin", "admin")
    assert created.created_at.year == created.updated_at.year != 1999
    assert (edited.title, edited.updated_by) == ("Two", "admin")
    assert edited.created_at == created.created_at < edited.updated_at
    assert created.deleted_at is edited.deleted_at is None


def test_what_a_database_computes_stays_its_own(admin_on):
    forged = {"version": "7", "touched": "x", "code": "x", "folded": "x"}
    form = {"text": "One", "state": "new", "hint": "x", "opens": "08:00"}
    admin_on.post("/admin/remark/new/", form | forged)

    remark = the(Remark)

    assert (remark.version, remark.touched, remark.code) == (1, None, "code")
    assert (remark.folded, remark.state) == ("one", "new")


def test_a_list_and_a_page_show_them(admin_on, db):
    with db.transaction() as session:
        session.add(Paper(id=1, title="One", created_by="ann"))

    pages = [admin_on.get(f"/admin/paper/{p}").text for p in ("", "details/?id=1")]

    assert all("ann" in page and "Updated At" in page for page in pages)


class Inline(ModelView):
    inline_models = (Remark,)


def test_inline_they_cannot_be_forged_either(db, build):
    visitor = Visitor(build(views={Paper: Inline})[0])
    visitor.log_in()
    child = {f"remarks-0-{name}": value for name, value in FORGED.items()}
    given = {"id": "", "text": "One", "state": "x", "hint": "x", "opens": "08:00"}
    child |= {f"remarks-0-{name}": value for name, value in given.items()}

    visitor.post("/admin/paper/new/", {"title": "One", **child})
    page = visitor.get(f"/admin/paper/edit/?id={the(Paper).id}").text

    remark = the(Remark)
    assert (remark.created_by, remark.updated_by) == ("admin", "admin")
    assert remark.created_at.year != 1999
    assert fields(page, "remarks-0-") == OFFERED - {"paper"} | {"id"}


class Named(ModelView):
    form_columns = ("title", "created_by")


@pytest.mark.parametrize("given", ["ann", "the boss"])
def test_a_view_may_ask_for_them(sqlite, build, given):
    visitor = Visitor(build(views={Paper: Named})[0])
    visitor.log_in()

    visitor.post("/admin/paper/new/", {"title": "One", "created_by": given})

    assert the(Paper).created_by == given
