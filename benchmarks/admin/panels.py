"""The same model in a panel of ours and in a stock one."""

import datetime as dt
import decimal
import re
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from flask_admin import Admin
from flask_admin.contrib.sqla import ModelView
from flask_admin.contrib.sqla.ajax import QueryAjaxModelLoader
from flask_admin.form import SecureForm
from flask_admin.theme import Bootstrap4Theme
from sqlalchemy.orm import Mapped, mapped_column, relationship, scoped_session

from accel_admin import admin_pattern
from accel_db import MainDatabaseManager

ROWS = 10_000
KEY = "a key for measurements that is long enough"
PASSWORD = "correct horse battery"
NOON = dt.datetime(2026, 1, 1, 12)  # noqa: DTZ001  # SQLite keeps no zone

db = MainDatabaseManager("sqlite://", name="benchmark", DEV_STATUS=True)


class Owner(db.Base):
    __tablename__ = "owners"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50))

    def __str__(self) -> str:
        return self.name


class Shelf(db.Base):
    __tablename__ = "shelves"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50))

    def __str__(self) -> str:
        return self.name


class Item(db.Base):
    """A model whose list has twenty columns, two of them relations."""

    __tablename__ = "items"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50))
    maker: Mapped[str] = mapped_column(sa.String(50))
    colour: Mapped[str] = mapped_column(sa.String(50))
    city: Mapped[str] = mapped_column(sa.String(50))
    comment: Mapped[str] = mapped_column(sa.String(200))
    note: Mapped[str | None] = mapped_column(sa.String(200))
    amount: Mapped[int]
    rank: Mapped[int]
    height: Mapped[int]
    width: Mapped[int]
    price: Mapped[decimal.Decimal] = mapped_column(sa.Numeric(10, 2))
    weight: Mapped[float]
    active: Mapped[bool]
    rare: Mapped[bool]
    day: Mapped[dt.date]
    made_at: Mapped[dt.datetime] = mapped_column(sa.DateTime)
    sold_at: Mapped[dt.datetime | None] = mapped_column(sa.DateTime)
    owner_id: Mapped[int] = mapped_column(sa.ForeignKey("owners.id"))
    shelf_id: Mapped[int] = mapped_column(sa.ForeignKey("shelves.id"))
    owner: Mapped[Owner] = relationship()
    shelf: Mapped[Shelf] = relationship()


MODELS = [Item, Owner, Shelf]


def fill() -> None:
    """Write the rows."""
    db.create_all()
    with db.transaction() as session:
        session.add_all(Owner(id=n, name=f"Owner {n}") for n in range(100))
        session.add_all(Shelf(id=n, name=f"Shelf {n}") for n in range(100))
        session.flush()
        session.execute(sa.insert(Item), [row(n) for n in range(ROWS)])


def row(n: int) -> dict[str, Any]:
    return {
        "name": f"Item {n}",
        "maker": f"Maker {n % 7}",
        "colour": "green",
        "city": "Lisbon",
        "comment": "A few words, as people write them into such a column.",
        "amount": n,
        "rank": n % 10,
        "height": 10,
        "width": 20,
        "price": decimal.Decimal("12.50"),
        "weight": 1.5,
        "active": n % 2 == 0,
        "rare": False,
        "day": NOON.date(),
        "made_at": NOON,
        "owner_id": n % 100,
        "shelf_id": n % 100,
    }


class StockView(ModelView):  # type: ignore[misc]  # Flask-Admin is not typed
    """A view of Flask-Admin with the columns and switches that ours has."""

    can_view_details = True
    can_export = True
    can_set_page_size = True
    column_display_pk = True
    page_size_options = (20, 50, 100)


class SecureView(StockView):
    """The same, with the tokens that Flask-Admin has to offer."""

    form_base_class = SecureForm


def stock(ours: Any, base: type[StockView]) -> FlaskClient:
    """Return a client of a stock panel that shows what *ours* shows."""
    app = Flask("stock")
    app.secret_key = KEY
    session = scoped_session(db.session)
    app.teardown_appcontext(lambda _exc: session.remove())
    admin = Admin(app, theme=Bootstrap4Theme(fluid=True))
    for view in ours.model_views():
        admin.add_view(stock_view(view, session, base))
    return app.test_client()


def stock_view(view: Any, session: Any, base: type[StockView]) -> StockView:
    names = (
        *("column_list", "column_sortable_list", "column_searchable_list"),
        *("column_filters", "form_columns"),
    )
    options = {name: list(getattr(view, name)) for name in names}
    if view.model is Item:
        options["form_ajax_refs"] = {
            name: QueryAjaxModelLoader(name, session, model, fields=["name"])
            for name, model in (("owner", Owner), ("shelf", Shelf))
        }
    kind = type(f"{view.model.__name__}View", (base,), options)
    made: StockView = kind(view.model, session, endpoint=view.endpoint)
    return made


def ours() -> tuple[FlaskClient, Any]:
    """Return a client that is logged in to a panel of ours, and the panel."""
    app = Flask("ours")
    panel = admin_pattern(
        app, KEY, PASSWORD, "admin", models=MODELS, database_manager=db
    )
    client = app.test_client()
    token = re.search(r'name="csrf_token" value="(\w+)"', page(client, "/admin/login"))
    assert token is not None
    form = {"username": "admin", "password": PASSWORD, "csrf_token": token[1]}
    assert client.post("/admin/login", data=form).status_code == 303
    return client, panel


def page(client: FlaskClient, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.status
    return answer.text


def clients(folder: str) -> dict[str, FlaskClient]:
    """Return a client for each panel, on one database with all rows."""
    db.override(f"sqlite:///{Path(folder) / 'items.db'}").__enter__()
    fill()
    client, panel = ours()
    return {
        "accel-admin": client,
        "Flask-Admin": stock(panel, StockView),
        "Flask-Admin, SecureForm": stock(panel, SecureView),
    }
