"""Searching for the other end of a relation."""

from typing import Any
from urllib.parse import quote, unquote

import sqlalchemy as sa
from flask_admin.model.ajax import AjaxModelLoader
from sqlalchemy.exc import DataError
from sqlalchemy.orm import Mapper

from accel_admin._derived import key_columns, text_columns
from accel_admin._keys import decode_key, encode_key
from accel_admin._labels import label

_MOST = 50


class RelationLoader(AjaxModelLoader):  # type: ignore[misc]  # Flask-Admin is not typed
    """Finds rows by what their text columns contain, a few at a time."""

    def __init__(self, name: str, session: Any, mapper: Mapper[Any]) -> None:
        super().__init__(name, {"minimum_input_length": 0, "placeholder": "Search"})
        self._session = session
        self._mapper = mapper
        self.model = mapper.class_

    def format(self, model: Any) -> tuple[str, str] | None:
        """Return the key and the label of a row."""
        if model is None:
            return None
        key = encode_key(self._mapper.primary_key_from_instance(model))
        # A form joins several keys by commas.
        return quote(key, safe=""), label(model)

    def get_one(self, pk: str) -> Any:
        """Return the row with that key, or None."""
        try:
            with self._session.no_autoflush:
                key = decode_key(self._mapper, unquote(pk))
                return self._session.get(self.model, key)
        except (ValueError, DataError, OverflowError):
            return None

    def get_list(self, query: str | None, offset: int = 0, limit: int = 10) -> Any:
        """Return rows that contain *query*."""
        keys = [getattr(self.model, name) for name in key_columns(self._mapper)]
        statement = sa.select(self.model).order_by(*keys)
        if query:
            statement = statement.where(self._contains(query.replace("\x00", "")))
        # PostgreSQL refuses an offset that is negative, or no bigint.
        offset = min(max(offset or 0, 0), 2**31)
        statement = statement.offset(offset).limit(min(max(limit, 1), _MOST))
        return self._session.scalars(statement).all()

    def _contains(self, query: str) -> Any:
        names = {*text_columns(self._mapper), *key_columns(self._mapper)}
        columns = [getattr(self.model, name) for name in sorted(names)]
        return sa.or_(
            *(sa.cast(c, sa.Unicode).icontains(query, autoescape=True) for c in columns)
        )
