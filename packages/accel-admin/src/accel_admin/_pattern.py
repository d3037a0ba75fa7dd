"""The one call that builds a panel."""

import datetime as dt
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from flask import Flask

from accel_admin._accounts import Account, Accounts
from accel_admin._database import DatabaseManager
from accel_admin._errors import InvalidPath, WeakSecretKey
from accel_admin._invalidation import Cache
from accel_admin._panel import Panel
from accel_admin._permissions import Roles
from accel_admin._sessions import ServerSessions
from accel_admin._stores import MemoryStore, Store, store_for
from accel_admin._throttle import LoginThrottle
from accel_admin._views import ModelView

_MIN_SECRET_KEY = 32
# The path is a part of the cookie's name, and of the rules of the router.
_PATH = re.compile(r"(?:/[A-Za-z0-9._-]+)+")


def admin_pattern(  # noqa: PLR0913, PLR0917  # the seed's call, and options of their own
    app: Flask,
    SECRET_KEY: str,  # noqa: N803  # the names of the seed
    ADMIN_PASSWORD: str,  # noqa: N803
    ADMIN_USERNAME: str,  # noqa: N803
    models: Sequence[type[Any]],
    database_manager: DatabaseManager,
    *,
    accounts: Collection[Account] = (),
    roles: Roles | None = None,
    views: Mapping[type[Any], type[ModelView]] | None = None,
    store: Store | Any = None,
    cache: Cache | None = None,
    idle_timeout: float | dt.timedelta = 1800.0,
    lifetime: float | dt.timedelta = 43_200.0,
    path: str = "/admin",
    name: str = "Admin",
    debug: bool | None = None,
) -> Panel:
    """Add a panel for *models* to a Flask app, behind a login.

    Mind the order, which is that of the seed: the password comes before the name.

    Args:
        app: gets the pages below *path*, and `/login` and `/logout`. What it keeps in
            Flask's `session` stays on the server, too.
        SECRET_KEY: at least 32 characters; binds sessions and forms to this service.
        ADMIN_PASSWORD: the password, or an argon2 hash of it.
        ADMIN_USERNAME: the name of the account that may do everything.
        models: what to show.
        database_manager: a manager of accel-db. Each request gets a session of its own.
        accounts: more people who may log in.
        roles: what their roles may do, such as `{"support": {User: {"read", "edit"}}}`.
            Actions are `read`, `create`, `edit`, `delete`, `export`, and names of your
            own; the model `"*"` stands for every other model.
        views: classes for models that need more than the default.
        store: where sessions and failed logins live: a synchronous client of redis-py,
            or a `Store`. By default this process, which suits one process only.
        cache: anything with an async `invalidate(tags)`, told of every change. A mounted
            panel needs none where accel-pattern connects the manager to the cache.
        idle_timeout: seconds without a request after which a session ends.
        lifetime: seconds after which a session ends in any case.
        path: where the panel is.
        name: the title of every page.
        debug: accept weak secrets. By default as the app says.

    Raises:
        WeakSecretKey: *SECRET_KEY* is too short.
        WeakPassword: a password is too short, or the first that everybody tries.
        DuplicateAccount: two accounts have one name.
        UnknownRole: an account has a role that *roles* does not have.
        InvalidPath: *path* is the root, or no plain path.
    """
    debug = app.debug if debug is None else debug
    secret_key = _checked(SECRET_KEY, debug=debug)
    everybody = [Account(ADMIN_USERNAME, ADMIN_PASSWORD), *accounts]
    kept = store_for(store)
    url = _url(path)
    panel = Panel(
        app,
        name=name,
        url=url,
        accounts=everybody,
        checked=Accounts(everybody, secret_key, debug=debug),
        roles=roles or {},
        sessions=ServerSessions(
            kept,
            secret_key,
            path=url,
            idle=_seconds(idle_timeout),
            lifetime=_seconds(lifetime),
        ),
        # A flood of failed logins must not push sessions out of a memory that is full.
        throttle=LoginThrottle(kept if store is not None else MemoryStore()),
        database_manager=database_manager,
    )
    panel.add_models(models, views or {})
    if cache is not None:
        panel.tell_changes(database_manager, cache)
    return panel


def _checked(secret_key: str | None, *, debug: bool) -> str:
    # An environment variable that is not set gives None.
    secret_key = secret_key or ""
    if len(secret_key) < _MIN_SECRET_KEY and not debug:
        raise WeakSecretKey(len(secret_key), _MIN_SECRET_KEY)
    return secret_key or secrets.token_urlsafe(32)


def _url(path: str) -> str:
    url = "/" + path.strip("/")
    if not _PATH.fullmatch(url) or {".", ".."} & set(url.split("/")):
        raise InvalidPath(path)
    return url


def _seconds(duration: float | dt.timedelta) -> float:
    if isinstance(duration, dt.timedelta):
        return duration.total_seconds()
    return float(duration)
