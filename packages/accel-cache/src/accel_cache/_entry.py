"""What is stored: a value with its dates, as bytes."""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

_MAGIC = b"accel1"
_COMPRESS_FROM = 4096
_NO_ENTRY = (
    *(ValueError, KeyError, TypeError, AttributeError),
    *(OverflowError, RecursionError, zlib.error),
)


@dataclass(frozen=True, slots=True)
class Draft:
    """A computed value before it gets its dates.

    *headers* are those of the response; *vary* maps the request headers that
    chose this variant to a digest of what they were.
    *ttl* shortens the policy's time to live, *stale* and *stale_if_error* replace
    its durations, *keep* is how long an expired value may still be validated,
    *age* is how old the value was when it came.
    *storable* is false for what is only for this caller.
    """

    body: bytes
    kind: str = "json"
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    etag: str = ""
    vary: Mapping[str, str] = field(default_factory=dict)
    private: bool = False
    ttl: float | None = None
    stale: float | None = None
    stale_if_error: float | None = None
    keep: float = 0.0
    age: float = 0.0
    storable: bool = True
    payload: object = None
    """What the leader keeps for itself: its Response, with background tasks."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored value: a draft and its dates, in seconds since the epoch."""

    draft: Draft
    created: float
    fresh_until: float
    stale_until: float
    error_until: float
    keep_until: float
    cost: float
    sent: dict[str, Any] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """What it came from and was made into: the next time it is mostly the same."""

    @property
    def dead_at(self) -> float:
        """The moment after which this entry is of no use."""
        return max(
            self.fresh_until, self.stale_until, self.error_until, self.keep_until
        )

    @property
    def size(self) -> int:
        """The bytes this entry takes, roughly."""
        return len(self.draft.body) + sum(
            len(name) + len(value) for name, value in self.draft.headers
        )


def encode(entry: Entry) -> bytes:
    """Serialize *entry*; a large body is compressed when that pays."""
    draft = entry.draft
    body, packed = draft.body, False
    if len(body) >= _COMPRESS_FROM:
        # Level 1 takes most of what there is to gain from JSON, in a quarter of the time.
        squeezed = zlib.compress(body, 1)
        if len(squeezed) < 0.9 * len(body):
            body, packed = squeezed, True
    head = json.dumps(
        {
            "k": draft.kind,
            "s": draft.status,
            "h": [[n.decode("latin-1"), v.decode("latin-1")] for n, v in draft.headers],
            "e": draft.etag,
            "v": dict(draft.vary),
            "p": draft.private,
            "z": len(draft.body) if packed else 0,
            "d": [
                entry.created,
                entry.fresh_until,
                entry.stale_until,
                entry.error_until,
                entry.keep_until,
                entry.cost,
            ],
        },
        separators=(",", ":"),
    ).encode()
    return b"%s %d\n%b%b" % (_MAGIC, len(head), head, body)


def decode(data: bytes) -> Entry | None:
    """Read what `encode` wrote; anything else is no entry."""
    first, newline, rest = data.partition(b"\n")
    # Another version's bytes, or somebody else's: a miss, never an error.
    magic, _, size = first.partition(b" ")
    if magic != _MAGIC or not newline or not size.isdigit():
        return None
    try:
        return _from_parts(json.loads(rest[: int(size)]), rest[int(size) :])
    except _NO_ENTRY:
        return None


def _from_parts(head: dict[str, Any], body: bytes) -> Entry | None:
    if plain_size := int(head["z"]):
        # The size is known: a forged body cannot grow beyond it.
        body = zlib.decompressobj().decompress(body, plain_size)
        if len(body) != plain_size:
            return None
    draft = Draft(
        body=body,
        kind=head["k"],
        status=int(head["s"]),
        headers=tuple((n.encode("latin-1"), v.encode("latin-1")) for n, v in head["h"]),
        etag=head["e"],
        vary=dict(head["v"]),
        private=bool(head["p"]),
    )
    return Entry(draft, *map(float, head["d"]))


def detached(draft: Draft) -> Draft:
    """Return *draft* without what belongs to one request."""
    return draft if draft.payload is None else replace(draft, payload=None)
