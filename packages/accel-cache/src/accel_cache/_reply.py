"""From a stored response to the one that is sent."""

import json
from typing import Any

from accel_cache import _fastapi as met
from accel_cache._engine import Outcome
from accel_cache._entry import Draft, Entry
from accel_cache._http import (
    freshness,
    header_values,
    is_not_modified,
    status_line,
    vary_names,
)
from accel_cache._request import Call

Lines = list[tuple[bytes, bytes]]

_BODY_HEADERS = frozenset({b"content-length", b"content-type"})


def reply(call: Call, outcome: Outcome, tagged: bool, now: float) -> Any:
    """Return the response to *call*; raise what stands for one."""
    draft, entry = outcome.draft, outcome.entry
    if draft.kind == "error":
        raise _error(draft, _marks(outcome, now))
    if entry is None:
        return _marked(call, draft, _marks(outcome, now))
    headers = _headers(call, outcome, entry, tagged, now)
    wanted = call.headers.get(b"if-none-match")
    if wanted and draft.status == 200 and is_not_modified(draft.etag, wanted):  # noqa: PLR2004 - RFC 9110, 13.2.2
        kept = [pair for pair in headers if pair[0] not in _BODY_HEADERS]
        response = met.StoredResponse(b"", kept, 304)
    else:
        response = met.StoredResponse(draft.body, headers, draft.status)
    if isinstance(draft.payload, met.Response):
        response.background = draft.payload.background
    return response


def _marks(outcome: Outcome, now: float) -> dict[str, str]:
    return {
        "X-Cache": outcome.state,
        "Cache-Status": status_line(outcome, now).decode(),
    }


def _headers(
    call: Call, outcome: Outcome, entry: Entry, tagged: bool, now: float
) -> Lines:
    if call.before or outcome.state != "HIT" or outcome.collapsed:
        return _new_headers(call, outcome, entry, tagged, now)
    # Within a second, one entry is sent with one set of headers to all who ask alike.
    age, ttl = int(now - entry.created), int(entry.fresh_until - now)
    like = (age, ttl, call.private, tagged, call.selectors)
    if (known := entry.sent.get("headers")) is None or known[0] != like:
        headers = _new_headers(call, outcome, entry, tagged, now)
        known = entry.sent["headers"] = (like, headers)
    # A copy: middlewares change the list of a response in place.
    return known[1].copy()


def _new_headers(
    call: Call, outcome: Outcome, entry: Entry, tagged: bool, now: float
) -> Lines:
    draft = outcome.draft
    own = {name for name, _ in draft.headers}
    headers = [pair for pair in draft.headers if pair[0] != b"vary"]
    headers += call.before
    private = call.private or bool(header_values(call.before, b"set-cookie"))
    for pair in freshness(entry, now, private=private, revalidate=tagged):
        if pair[0] not in own:
            headers.append(pair)
    if b"etag" not in own and draft.status not in {204, 301, 308}:
        headers.append((b"etag", draft.etag.encode("latin-1")))
    varies = sorted(vary_names(draft.headers) | call.selectors.names)
    if varies:
        headers.append((b"vary", ", ".join(varies).encode("latin-1")))
    if draft.status != 204:  # noqa: PLR2004 - no content has no length
        headers.append((b"content-length", b"%d" % len(draft.body)))
    headers.append((b"x-cache", outcome.state.encode()))
    headers.append((b"cache-status", status_line(outcome, now)))
    return headers


def _marked(call: Call, draft: Draft, marks: dict[str, str]) -> Any:
    response = draft.payload
    if isinstance(response, met.Response):
        response.headers.update(marks)
        response.headers.raw.extend(call.before)
    return response


def _error(draft: Draft, marks: dict[str, str]) -> Exception:
    if isinstance(draft.payload, met.HTTPException):
        error = draft.payload
        error.headers = {**(error.headers or {}), **marks}
        return error
    detail, headers = json.loads(draft.body)
    return met.HTTPException(draft.status, detail, {**headers, **marks})
