"""Audit events."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

_log = logging.getLogger("accel_auth")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthEvent:
    """One thing worth an audit line; it never carries a token or a password.

    *name* is one of `login_succeeded`, `login_failed`, `login_throttled`,
    `token_refreshed`, `refresh_rejected`, `refresh_reused`, `session_revoked`,
    `token_rejected`, `csrf_rejected` and `store_unavailable`.
    """

    name: str
    at: float
    username: str | None = None
    client: str | None = None
    session: str | None = None
    reason: str | None = None


Subscriber = Callable[[AuthEvent], object]


class Subscribers:
    """Those who listen; an event is built only if there is one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # Replaced as a whole, for a listener may unsubscribe while it is called.
        self._callbacks: tuple[Subscriber, ...] = ()

    def add(self, callback: Subscriber) -> Callable[[], None]:
        """Call *callback* with every event from now on; return what undoes it."""
        self._callbacks = (*self._callbacks, callback)

        def unsubscribe() -> None:
            self._callbacks = tuple(c for c in self._callbacks if c is not callback)

        return unsubscribe

    def emit(
        self,
        name: str,
        *,
        username: str | None = None,
        client: str | None = None,
        session: str | None = None,
        reason: str | None = None,
    ) -> None:
        """Tell everybody; a subscriber that fails is logged and harms nobody."""
        if not self._callbacks:
            return
        event = AuthEvent(
            name=name,
            at=self._clock(),
            username=username,
            client=client,
            session=session,
            reason=reason,
        )
        for callback in self._callbacks:
            try:
                callback(event)
            except Exception:  # noqa: BLE001 -- a listener's bug is not the caller's
                _log.exception("A subscriber failed on the event %r.", name)
