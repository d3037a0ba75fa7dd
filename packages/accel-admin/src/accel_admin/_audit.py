"""Who did what."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from flask import has_request_context, request

logger = logging.getLogger("accel_admin.audit")

Subscriber = Callable[["AuditEvent"], object]


@dataclass(frozen=True)
class AuditEvent:
    """Something that somebody did in the panel.

    Attributes:
        name: `login`, `login_failed`, `logout`, `create`, `edit`, `delete`, `export`,
            or the name of an action of yours, once for each row that it was given.
        actor: the name of the account.
        address: where the request came from.
        model: the name of the model, or an empty string.
        key: the primary key as in the URL, or an empty string.
        changes: pairs of old and new values by attribute; secrets are hidden.
    """

    name: str
    actor: str
    address: str = ""
    model: str = ""
    key: str = ""
    changes: tuple[tuple[str, str, str], ...] = ()


class Audit:
    """Tells subscribers, and the logger `accel_admin.audit`, what happened."""

    def __init__(self) -> None:
        self._subscribers: list[Subscriber] = []
        self._lock = threading.Lock()

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call *subscriber* with each event; return what ends that."""
        with self._lock:
            # A new list, so that another thread may iterate over the old one.
            self._subscribers = [*self._subscribers, subscriber]

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers = [x for x in self._subscribers if x != subscriber]

        return unsubscribe

    def logged_in(self, actor: str) -> None:
        """Tell that *actor* logged in."""
        self.tell("login", actor)

    def logged_out(self, actor: str) -> None:
        """Tell that *actor* logged out."""
        self.tell("logout", actor)

    def login_failed(self, actor: str) -> None:
        """Tell that somebody tried to log in as *actor*."""
        self.tell("login_failed", actor)

    def tell(
        self,
        name: str,
        actor: str,
        model: str = "",
        key: str = "",
        changes: tuple[tuple[str, str, str], ...] = (),
    ) -> None:
        """Tell what happened."""
        address = (request.remote_addr or "") if has_request_context() else ""
        event = AuditEvent(name, actor, address, model, key, changes)
        # `%r` keeps a name that somebody typed on one line of the log.
        logger.info("%s by %r: %s %r", name, actor, model, key)
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception:
                logger.exception("A subscriber of the audit failed.")
