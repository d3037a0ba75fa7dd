"""Generated models can be imported, and accept what they were made from."""

import datetime as dt
import functools
import uuid
import warnings
from decimal import Decimal

import pytest
from hypothesis import example, given, strategies as st
from pydantic import TypeAdapter

from accel_integration import generate_pydantic_models

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=8)
            | st.sampled_from(
                [
                    "class",
                    "90",
                    "a-b",
                    "model_dump",
                    "json",
                    "fooBar",
                    "foobar",
                    "_x",
                    "str",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


def load(source):
    names = {"__name__": "generated"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(source, "generated", "exec"), names)
    return names


def roundtrip(data, **options):
    """Return *data* as its model, and what the model makes of itself."""
    model = load(generate_pydantic_models(data, **options))[
        options.get("prfix_class_name", "RootModel")
    ]
    adapter = TypeAdapter(model)
    value = adapter.validate_python(data)
    return value, adapter.dump_python(value, by_alias=True, exclude_unset=True)


@given(JSON, st.integers(0, 5))
@example({"90": 1, "class": 2, "a-b": 3}, 1)
@example({"fooBar": {"a": 1}, "foobar": {"b": 2}}, 2)
@example([{"a": 1}, {"b": "x"}], 3)
@example({"a": {}, "b": [], "c": [[]], "d": [{}], "e": None}, 3)
@example({"int": 1, "x": 2, "str": "a", "y": "b", "Any": None, "Field": 1, "a-": 1}, 1)
@example({"RootModel": {"a": 1}, "RootModel_Rootmodel": {"b": 1}}, 3)
@example({"": 1, "_": 2, "__": 3, "é": 4, "日": 5, "ª": 6}, 1)
@example({"\ud800": {"x": 1}, "a": "\udfff", "b": ["\udfff", 1]}, 2)
@example(functools.reduce(lambda inner, _: [inner], range(150), {"x": 1}), 2)
@example({'a"b\\c\n': {"x": 1}, "print(1)": 1, "'''": 2}, 2)
def test_models_accept_their_own_example(data, depth):
    _, dumped = roundtrip(data, depth=depth)

    assert dumped == data


def test_types_are_those_of_the_example():
    source = generate_pydantic_models(
        {"flag": True, "n": 1, "x": 1.5, "s": "a", "nothing": None, "l": [1, 2.5, "a"]},
        depth=2,
    )

    assert source == (
        "from pydantic import BaseModel\n"
        "from typing import Any\n"
        "\n\n"
        "class RootModel(BaseModel):\n"
        "    flag: bool\n"
        "    n: int\n"
        "    x: float\n"
        "    s: str\n"
        "    nothing: Any\n"
        "    l: list[int | float | str]\n"
    )


def test_all_items_of_a_list_are_looked_at():
    source = generate_pydantic_models({"items": [{"a": 1}, {"a": None, "b": "x"}]}, 3)

    assert "class RootModel_ItemsItem(BaseModel):" in source
    assert "    a: int | None\n" in source
    assert "    b: str | None = None\n" in source
    assert "    items: list[RootModel_ItemsItem]\n" in source


def test_depth_ends_in_dicts():
    source = generate_pydantic_models({"a": {"b": {"c": 1}}}, depth=2)

    assert "class RootModel_A(BaseModel):\n    b: dict[str, Any]\n" in source


def test_root_may_be_a_list_or_a_scalar():
    assert roundtrip([{"a": 1}])[0][0].a == 1
    assert roundtrip("text")[0] == "text"


def test_numbers_as_keys_make_a_mapping():
    assert roundtrip({"a": {1: "x", 2: "y"}})[0].a == {1: "x", 2: "y"}


def test_other_standard_types_are_imported():
    data = {
        "a": dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
        "b": Decimal("1.5"),
        "c": uuid.UUID(int=1),
        "d": dt.date(2026, 1, 2),
    }

    value, dumped = roundtrip(data)

    assert dumped == data
    assert type(value.b) is Decimal


def test_names_and_parent_are_as_asked():
    source = generate_pydantic_models(
        {"a": {"b": 1}}, 3, prfix_class_name="Job", parent_class="app.base.Strict"
    )

    assert source.startswith("from app.base import Strict\n")
    assert "class Job_A(Strict):" in source
    assert "class Job(Strict):\n    a: Job_A\n" in source


@pytest.mark.parametrize("name", ["a b", "class", "1a", "x:\n import os", ""])
def test_names_that_are_none_are_refused(name):
    with pytest.raises(ValueError, match="that is not a name in Python"):
        generate_pydantic_models({}, 1, prfix_class_name=name)
    with pytest.raises(ValueError, match="that is not a name in Python"):
        generate_pydantic_models({}, 1, parent_class=name)


def kinds_of(*samples):
    """Return the annotation of a field that had *samples*."""
    source = generate_pydantic_models([{"x": sample} for sample in samples], depth=2)
    return source.partition("    x: ")[2].partition("\n")[0]


@pytest.mark.parametrize(
    ("samples", "kind"),
    [
        (["2026-01-02", "1999-12-31"], "_date"),
        (["2026-01-02", None], "_date | None"),
        (["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.120+02:00"], "_datetime"),
        (["2026-01-02T03:04:05.000000+00:00"], "_datetime"),
        (["03:04:05", "03:04:05.5"], "_time"),
        (["12345678-1234-5678-1234-567812345678"], "_UUID"),
        (["2026-01-02", "soon"], "str"),
        (["2026-01-02", ""], "str"),
        (["2026-01-02", "2026-01-02T03:04:05Z"], "str"),
        (["2026-01-02", 5], "str | int"),
        (["2026-02-30"], "str"),
        (["20260102"], "str"),
        (["03:04"], "str"),
        (["2026-01-02T03:04:05.123456789Z"], "str"),
        (["2026-01-02 03:04:05"], "str"),
        (["2026-01-02\n"], "str"),
        (["12345678-1234-5678-1234-56781234567A"], "str"),
    ],
)
def test_strings_are_dates_where_every_sample_agrees(samples, kind):
    assert kinds_of(*samples) == kind


def test_fields_called_like_types_do_not_hide_them():
    data = [{"date": "2026-01-02", "time": "03:04:05", "a": "2026-01-02"}, {}]

    value, _ = roundtrip(data)

    assert value[0].date == value[0].a == dt.date(2026, 1, 2)


STAMPS = st.one_of(
    st.dates().map(str),
    st.times().map(str),
    st.uuids().map(str),
    st.datetimes(timezones=st.none() | st.just(dt.UTC)).map(dt.datetime.isoformat),
    st.datetimes(
        timezones=st.integers(-1439, 1439).map(
            lambda minutes: dt.timezone(dt.timedelta(minutes=minutes))
        )
    ).map(dt.datetime.isoformat),
    st.from_regex(r"\A\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?Z?)?\Z"),
    st.text(max_size=3),
)


@given(st.lists(STAMPS | st.none() | st.integers(), min_size=1, max_size=4))
def test_dates_lose_nothing_when_they_are_written(samples):
    data = [{"x": sample} for sample in samples]
    model = load(generate_pydantic_models(data))["RootModel"]
    adapter = TypeAdapter(model)

    value = adapter.validate_python(data)
    written = adapter.dump_python(value, mode="json")

    assert adapter.validate_python(written) == value
    for sample, row in zip(samples, written, strict=True):
        if row["x"] != sample:
            assert dt.datetime.fromisoformat(
                f"2000-01-01T{sample}" if sample[2] == ":" else sample
            ) == dt.datetime.fromisoformat(
                f"2000-01-01T{row['x']}" if sample[2] == ":" else row["x"]
            )
