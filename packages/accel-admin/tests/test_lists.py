"""Lists: search, filters, order, pages, export, and the first page."""

import csv
import datetime as dt
import io
import re
import uuid

import pytest
import sqlalchemy as sa
from hypothesis import given, strategies as st
from werkzeug.datastructures import MultiDict

from accel_admin._export import harmless
from accel_admin._home import HomeView

from .models import Kinds, Label, Mood, Note, Person, Stage, db as manager

NOON = dt.datetime(2026, 2, 3, 12, tzinfo=dt.UTC)


def add(*instances):
    with manager.transaction() as session:
        session.add_all(instances)


def keys(page):
    return [int(x) for x in re.findall(r'name="rowid"[^>]*value="(\d+)"', page)]


def filtered(admin, endpoint, label, operation, value):
    """Return the keys that a filter leaves, found as a person finds it."""
    view = next(v for v in admin_views(admin) if v.endpoint == endpoint)
    group = view._filter_groups[label]
    (argument,) = [f["arg"] for f in group.filters if str(f["operation"]) == operation]
    query = {f"flt1_{argument}": value}
    return keys(admin.get(f"/admin/{endpoint}/", query_string=query).text)


def admin_views(admin):
    (panel,) = admin.client.application.extensions["admin"]
    return panel.model_views()


def test_search_finds_parts_of_text_columns(admin_on):
    add(*(Person(id=n, name=name) for n, name in enumerate(["Ann", "Bo", "Hannah"])))

    page = admin_on.get("/admin/person/?search=ANN").text

    assert keys(page) == [0, 2]


@pytest.mark.parametrize(
    ("label", "operation", "value", "expected"),
    [
        ("Mood", "equals", "happy", [1]),
        ("Price", "greater than", "5", [2]),
        ("Weight", "smaller than", "2", [1]),
        ("Active", "equals", "1", [1]),
        ("Day", "equals", "2026-02-03", [1]),
        ("Hour", "greater than", "05:00:00", [2]),
        ("Moment", "greater than", "2026-02-03 12:00:01", [2]),
        ("Moment", "equals", "2026-02-03 12:00:00", [1]),
        (
            "Moment",
            "between",
            "2026-02-03 00:00:00 to 2026-02-03 13:00:00",
            [1],
        ),
        ("Local", "smaller than", "2026-01-02 00:00:00", [1]),
        ("Ref", "equals", str(uuid.UUID(int=1)), [1]),
        ("Id", "in list", "2,3", [2]),
        ("Ref", "empty", "1", []),
    ],
)
def test_every_kind_of_column_has_filters(admin_on, label, operation, value, expected):
    add(
        Kinds(
            id=1,
            mood=Mood.happy,
            price=5,
            weight=1.5,
            active=True,
            day=dt.date(2026, 2, 3),
            hour=dt.time(4),
            moment=NOON,
            local=dt.datetime(2026, 1, 1),  # noqa: DTZ001  # no zone is the point
            ref=uuid.UUID(int=1),
        ),
        Kinds(
            id=2,
            mood=Mood.sad,
            price=6,
            weight=2.5,
            day=dt.date(2026, 2, 4),
            hour=dt.time(6),
            moment=NOON + dt.timedelta(days=1),
            local=dt.datetime(2026, 1, 3),  # noqa: DTZ001  # no zone is the point
            ref=uuid.UUID(int=2),
        ),
    )

    assert filtered(admin_on, "kinds", label, operation, value) == expected


def test_a_filter_that_cannot_be_read_is_told(admin):
    add(Kinds(id=1))

    found = filtered(admin, "kinds", "Moment", "equals", "yesterday")

    assert found == [1]
    assert admin.get("/admin/").status_code == 200


@pytest.mark.parametrize("label", ["Mood", "Stage", "Size"])
@pytest.mark.parametrize("operation", ["equals", "not equal", "in list", "not in list"])
@pytest.mark.parametrize("value", ["angry", "HAPPY", "__class__", "\x00", "H,angry"])
def test_a_filter_for_no_member_of_an_enum_is_told(admin_on, label, operation, value):
    add(Kinds(id=1, mood=Mood.happy, stage=Stage.first, size="s"))

    found = filtered(admin_on, "kinds", label, operation, value)

    assert found == [1]


@pytest.mark.parametrize(
    ("label", "one", "other"),
    [("Mood", "happy", "sad"), ("Stage", "1st", "2nd"), ("Size", "s", "l")],
)
def test_members_of_enums_are_filtered_as_the_database_knows_them(
    admin_on, label, one, other
):
    add(
        Kinds(id=1, mood=Mood.happy, stage=Stage.first, size="s"),
        Kinds(id=2, mood=Mood.sad, stage=Stage.second, size="l"),
        Kinds(id=3),
    )

    def found(operation, value):
        return filtered(admin_on, "kinds", label, operation, value)

    assert found("equals", one) == [1]
    assert found("not equal", one) == [2]
    assert found("in list", f"{one}, {other}") == [1, 2]
    assert found("not in list", one) == [2, 3]
    assert found("empty", "1") == [3]


def test_columns_without_filters_have_none(admin):
    (view,) = [v for v in admin_views(admin) if v.endpoint == "kinds"]

    assert {"settings", "blob", "words"}.isdisjoint(view.column_filters)
    assert {"mood", "moment", "ref"} <= set(view.column_filters)


def test_rows_are_sorted_both_ways(admin_on):
    add(*(Person(id=n, name=name) for n, name in enumerate(["b", "a", "c"])))

    up = keys(admin_on.get("/admin/person/?sort=1").text)
    down = keys(admin_on.get("/admin/person/?sort=1&desc=1").text)

    assert (up, down) == ([1, 0, 2], [2, 0, 1])


def test_pages_show_each_row_once_even_if_all_compare_equal(admin_on):
    add(*(Person(id=n, name="Same") for n in range(45)))

    pages = [admin_on.get(f"/admin/person/?sort=1&page={n}").text for n in range(3)]

    assert sorted(key for page in pages for key in keys(page)) == list(range(45))
    assert "(45)" in pages[0]


def test_a_page_far_away_is_empty(admin_on):
    answer = admin_on.get("/admin/person/?page=1" + "0" * 20)

    assert answer.status_code == 200
    assert "There are no items" in answer.text


def test_a_relation_is_a_link_with_a_readable_name(admin):
    add(Person(id=1, name="Ann", notes=[Note(text="One")]))

    page = admin.get("/admin/note/").text

    assert '<a href="/admin/person/details/?id=1">Ann</a>' in page


def test_a_list_does_not_ask_once_per_row(admin, sqlite):
    people = [Person(name=f"P{n}") for n in range(20)]
    add(*people, *(Note(text="x", author=person) for person in people))
    statements = []

    def count(conn, cursor, statement, *_):
        statements.append(statement.split()[0])

    sa.event.listen(sqlite.engine, "before_cursor_execute", count)
    admin.get("/admin/note/")

    assert statements.count("SELECT") == 2


def test_a_model_without_a_name_is_called_by_its_key(admin):
    add(Label(code="red", title=""))
    add(Note(text="One", labels=[]))
    with manager.transaction() as session:
        note = session.scalars(sa.select(Note)).one()
        note.labels.append(session.get(Label, "red"))

    lookup = admin.get("/admin/note/ajax/lookup/?name=labels&query=re").json

    assert lookup == [["red", "red"]]


def test_a_lookup_takes_wildcards_literally(admin):
    add(Person(id=1, name="100 %"), Person(id=2, name="100 km"))

    lookup = admin.get("/admin/note/ajax/lookup/?name=author&query=0 %25").json

    assert lookup == [["1", "100 %"]]


# Export


def exported(admin, path="/admin/person/export/csv/"):
    answer = admin.get(path)
    assert answer.mimetype == "text/csv"
    return list(csv.reader(io.StringIO(answer.text)))


def test_an_export_holds_what_the_list_shows(admin_on):
    add(*(Person(id=n, name=f"P{n}", email=f"{n}@x") for n in range(30)))

    rows = exported(admin_on, "/admin/person/export/csv/?search=P2")

    assert rows[0] == ["Id", "Name", "Email", "Joined"]
    assert [row[1] for row in rows[1:]] == ["P2", *(f"P2{n}" for n in range(10))]


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1"]
)
def test_an_export_runs_no_formula(admin, text):
    add(Person(name=text, notes=[Note(text="x")]))

    name = exported(admin)[1][1]
    author = exported(admin, "/admin/note/export/csv/")[1][-1]

    assert name == author == f"'{text}"


def test_numbers_stay_numbers(admin):
    add(Kinds(id=1, price=-5, weight=-1.5))

    header, row = exported(admin, "/admin/kinds/export/csv/")

    values = dict(zip(header, row, strict=True))
    assert (values["Price"], values["Weight"]) == ("-5.00", "-1.5")


@given(st.text())
def test_no_text_starts_a_formula(text):
    cell = str(harmless(text))

    assert cell.lstrip(" ")[:1] not in set("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def test_an_unknown_format_is_refused(admin):
    answer = admin.get("/admin/person/export/exe/")

    assert answer.status_code == 302


# The first page


def test_the_first_page_counts_and_plots(admin_on):
    now = dt.datetime.now(dt.UTC)
    # None so near to thirty days that a midnight in between would count.
    ages = [0, 0, 1, 25, 31, 400]
    add(*(Person(name="P", joined=now - dt.timedelta(days=n)) for n in ages))

    page = admin_on.get("/admin/").text

    assert ">6</p>" in page
    assert "4 in the last 30 days, by joined" in page
    assert f"<title>{now.date()}: 2</title>" in page
    assert "<svg" in page


def test_the_plot_covers_the_days_up_to_today(admin_on):
    add(Person(name="P", joined=NOON), Person(name="P", joined=NOON))
    (panel,) = admin_on.client.application.extensions["admin"]
    view = panel.model_views()[0]
    home = HomeView(now=lambda: NOON)

    with admin_on.client.application.test_request_context("/admin/"):
        bars = home._bars(view, "joined")

    assert len(bars) == 30
    assert bars[-1].day == NOON.date()
    assert [bar.rows for bar in bars[-2:]] == [0, 2]
    assert bars[-1].height == 40


def test_the_plot_counts_days_in_utc_wherever_the_server_is(postgres_url, shared):
    url = f"{postgres_url}?options=-c%20timezone%3DAsia/Tokyo"
    late = NOON.replace(hour=23)
    with manager.override(url):
        manager.create_all()
        manager.clear_all()
        add(Person(name="P", joined=late))
        view, home = shared.model_views()[0], HomeView(now=lambda: NOON)
        with shared.app.test_request_context("/admin/"):
            bars = home._bars(view, "joined")

    assert [bar.rows for bar in bars[-2:]] == [0, 1]


def test_two_models_of_one_name_and_reserved_names_get_addresses(sqlite, build):
    Login = type("Login", (Label,), {})  # a class
    panel = build(models=[Person, Login, Person])[1]

    endpoints = [view.endpoint for view in panel.model_views()]

    assert endpoints == ["person", "login_", "person_"]


def test_the_query_of_an_export_keeps_its_order(admin):
    add(Person(id=1, name="b"), Person(id=2, name="a"))

    query = MultiDict({"sort": "1"})
    answer = admin.get("/admin/person/export/csv/", query_string=query)

    assert [row[1] for row in csv.reader(io.StringIO(answer.text))][1:] == ["a", "b"]
