"""How a plain coroutine's value becomes bytes: JSON, never pickle.

Whoever can write to the server must not be able to run code in the service.
"""

import inspect
import json
import sys
from collections.abc import Callable
from typing import Any, get_type_hints

from accel_cache._entry import Draft
from accel_cache._errors import UnstorableValue


class Codec:
    """Converts the values of one function, by its return annotation if it has one."""

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        self._function = function
        self._adapter: Any = None
        self._looked = False

    def _typed(self) -> Any:
        # At the first value: a return annotation may name a class defined below.
        if not self._looked:
            self._looked = True
            self._adapter = self._build()
        return self._adapter

    def _build(self) -> Any:
        # Pydantic is met where a model is returned; it is never needed.
        pydantic = sys.modules.get("pydantic")
        if pydantic is None or self._function is None:
            return None
        try:
            hint = get_type_hints(self._function, include_extras=True)["return"]
        except (KeyError, NameError, TypeError):
            # No annotation, or one that only a type checker can read.
            return None
        if hint is Any or hint is inspect.Parameter.empty:
            return None
        return pydantic.TypeAdapter(hint)

    def encode(self, value: object) -> Draft:
        """Return *value* as a draft.

        Raises:
            UnstorableValue: when JSON would change the value.
        """
        if isinstance(value, bytes):
            return Draft(value, kind="bytes")
        if isinstance(value, str):
            # A lone surrogate is a valid `str`, and must come back as it was.
            return Draft(value.encode("utf-8", "surrogatepass"), kind="text")
        if (adapter := self._typed()) is not None:
            # By the names of the fields, since aliases may differ in the two directions.
            return Draft(adapter.dump_json(value, round_trip=True), kind="typed")
        try:
            body = json.dumps(value, separators=(",", ":")).encode()
        except (TypeError, ValueError) as exc:
            raise UnstorableValue(value) from exc
        # JSON takes a tuple or a key of 1 without a word, and returns something else.
        if not _same(json.loads(body), value):
            raise UnstorableValue(value)
        return Draft(body)

    def decode(self, draft: Draft) -> Any:
        """Return a new value, equal to the one that was encoded."""
        match draft.kind:
            case "bytes":
                return draft.body
            case "text":
                return draft.body.decode("utf-8", "surrogatepass")
            case "typed" if (adapter := self._typed()) is not None:
                return adapter.validate_json(draft.body, by_name=True)
            case _:
                return json.loads(draft.body)


def _same(one: object, two: object) -> bool:
    # Not `==` alone: 1, 1.0 and True are equal, (1,) and [1] are not.
    if type(one) is not type(two):
        return False
    if isinstance(one, dict) and isinstance(two, dict):
        return list(one) == list(two) and all(_same(one[k], two[k]) for k in one)
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(_same, one, two))
    return one == two
