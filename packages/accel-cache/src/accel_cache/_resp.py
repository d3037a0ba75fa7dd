"""The wire format of Redis: packing commands, parsing RESP3."""

from collections.abc import Iterable
from typing import Protocol, cast

NOT_ENOUGH = object()
"""Returned by `Reader.gets` while a reply is incomplete."""


class ReplyError(Exception):
    """An error reply of the server, kept as a value until its reader raises it."""


class Push(list[object]):
    """An out-of-band message: RESP3 tells it apart from a reply."""


class Reader(Protocol):
    """What hiredis and the pure Python parser have in common."""

    def feed(self, data: bytes, /) -> object: ...

    def gets(self) -> object: ...


def pack(command: Iterable[bytes]) -> bytes:
    """Encode one command as an array of bulk strings."""
    parts = list(command)
    out = [b"*%d\r\n" % len(parts)]
    out.extend(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
    return b"".join(out)


def new_reader() -> tuple[Reader, type]:
    """Return a parser and the type of its push messages: hiredis when installed."""
    try:
        import hiredis

        reader = hiredis.Reader(replyError=ReplyError, notEnoughData=NOT_ENOUGH)
        return cast("Reader", reader), hiredis.PushNotification
    except (ImportError, AttributeError):  # absent, or too old for RESP3
        return PythonReader(), Push


class _Incomplete(Exception):  # noqa: N818 - control flow, never seen outside
    """Raised inside of the parser when more bytes are needed."""


class PythonReader:
    """A RESP3 parser for installations without hiredis."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0

    def feed(self, data: bytes) -> None:
        """Add bytes that came from the server."""
        self._buffer += data

    def gets(self) -> object:
        """Return the next message, or `NOT_ENOUGH`."""
        # From its start each time: a message that is not complete is parsed again.
        self._at = 0
        try:
            message = self._parse()
        except _Incomplete:
            return NOT_ENOUGH
        del self._buffer[: self._at]
        return message

    def _line(self) -> bytes:
        end = self._buffer.find(b"\r\n", self._at)
        if end < 0:
            raise _Incomplete
        line = bytes(self._buffer[self._at : end])
        self._at = end + 2
        return line

    def _bulk(self, size: int) -> bytes | None:
        if size < 0:
            return None
        end = self._at + size
        if len(self._buffer) < end + 2:
            raise _Incomplete
        data = bytes(self._buffer[self._at : end])
        self._at = end + 2
        return data

    def _items(self, count: int) -> list[object]:
        return [self._parse() for _ in range(count)]

    def _parse(self) -> object:
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind in b"$=!":
            return self._blob(kind, int(rest))
        if kind in b"*~":
            return None if rest == b"-1" else self._items(int(rest))
        if kind == b">":
            return Push(self._items(int(rest)))
        if kind == b"%":
            flat = self._items(2 * int(rest))
            return dict(zip(flat[::2], flat[1::2], strict=True))
        return _scalar(kind, rest)

    def _blob(self, kind: bytes, size: int) -> object:
        data = self._bulk(size)
        if data is None:
            return None
        if kind == b"!":
            return ReplyError(data.decode("utf-8", "replace"))
        # A verbatim string starts with its format: `txt:`.
        return data[4:] if kind == b"=" else data


def _scalar(kind: bytes, rest: bytes) -> object:
    match kind:
        case b"+":
            return rest
        case b"-":
            return ReplyError(rest.decode("utf-8", "replace"))
        case b":" | b"(":
            return int(rest)
        case b",":
            return float(rest)
        case b"#":
            return rest == b"t"
        case b"_":
            return None
        case _:
            raise ReplyError(f"The server sent an unknown type of reply: {kind!r}")
