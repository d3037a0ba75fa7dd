"""Functions that read answers, and what becomes of those that nobody can read."""

import functools
from collections.abc import Callable
from typing import Any

from accel_integration._errors import ResponseError, is_refused_by_client
from accel_integration._received import UNREADABLE

__all__ = ["readable"]

ILLEGAL_HEADER = (
    "Illegal header: it has a line break, a space at its end, or another character that "
    "no header may have. It is not shown, since it may be a secret: look for a secret "
    "with a line break at its end, and strip it."
)


def conceal(exc: Exception) -> None:
    """Let *exc* not show the value of a header, which may be a secret with a line break.

    Many a file with a secret ends in one.
    """
    if type(exc).__name__ == "LocalProtocolError" and is_refused_by_client(exc):
        exc.args = (ILLEGAL_HEADER,)
        # The libraries below the client show it, too.
        exc.__cause__ = None


def readable(
    func: Callable[..., Any],
    judge: Callable[[Exception], ResponseError | None],
    check: Callable[[Any], None],
    *,
    is_async: bool,
) -> Callable[..., Any]:
    """Return *func*, raising what *judge* says of a body that it could not read.

    A response that it returns is shown to *check*. Strategies around it see what both
    raise, and nothing of how the body was read.
    """

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            answer = func(*args, **kwargs)
        except Exception as exc:
            conceal(exc)
            if not isinstance(exc, UNREADABLE) or (error := judge(exc)) is None:
                raise
            raise error from exc
        if hasattr(answer, "status_code"):
            check(answer)
        return answer

    @functools.wraps(func)
    async def acall(*args: Any, **kwargs: Any) -> Any:
        try:
            answer = await func(*args, **kwargs)
        except Exception as exc:
            conceal(exc)
            if not isinstance(exc, UNREADABLE) or (error := judge(exc)) is None:
                raise
            raise error from exc
        if hasattr(answer, "status_code"):
            check(answer)
        return answer

    return acall if is_async else call
