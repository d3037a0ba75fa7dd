"""Cassettes: real responses kept in a file, to be given again in tests."""

import base64
import hashlib
import inspect
import json
import re
from collections.abc import Awaitable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from accel_integration._api import ApiHTTP
from accel_integration._masking import (
    MASK,
    is_secret_name,
    mask_text,
    mask_url,
    secrets_in,
)
from accel_integration._mocks import Reply

__all__ = ["Cassette", "UnrecordedRequestError", "recorded"]

# These are about one connection, and a body on the way; ours is decoded already.
UNKEPT_HEADERS = frozenset(
    {"connection", "content-encoding", "keep-alive", "transfer-encoding"}
)
# It only asks for a secret.
CHALLENGE = "www-authenticate"
BOUNDARY = re.compile(rb'boundary="?([^";]+)')
MOST_NAMED = 5


class UnrecordedRequestError(AssertionError):
    """Raised when a cassette has no response for a request."""

    def __init__(self, path: Path, request: str, difference: str) -> None:
        super().__init__(
            f"{path} has no response to {request}. {difference} Record it once with "
            "`recorded(path, record=True)`, and look at what the file contains."
        )


class Cassette:
    """A file of responses, each under the request that it answers."""

    def __init__(self, path: Path, *, record: bool) -> None:
        self.path = path
        self.record = record
        self._tracks: dict[str, list[dict[str, Any]]] = {}
        self._positions: dict[str, int] = {}
        if path.exists() and not record:
            self._tracks = json.loads(path.read_text("utf-8"))

    def answer(self, request: Any, api: ApiHTTP) -> Reply | Awaitable[Reply]:
        """Return the response to *request*, asking the real client to record it."""
        asked = Asked(request, secrets_in(api.credentials))
        if not self.record:
            return self._play(asked)
        # The client in front of this one signs requests and follows redirects.
        response = api.client.send(request, auth=None, follow_redirects=False)
        if inspect.isawaitable(response):
            return self._keep_later(asked, response)
        return self._keep(asked, response)

    def _play(self, asked: "Asked") -> Reply:
        tracks = self._tracks.get(asked.key)
        if not tracks:
            difference = asked.difference_to(self._tracks)
            raise UnrecordedRequestError(self.path, asked.shown, difference)
        position = self._positions.get(asked.key, 0)
        self._positions[asked.key] = position + 1
        return reply_of(tracks[min(position, len(tracks) - 1)])

    async def _keep_later(self, asked: "Asked", response: Awaitable[Any]) -> Reply:
        return self._keep(asked, await response)

    def _keep(self, asked: "Asked", response: Any) -> Reply:
        headers = kept_headers(response)
        track = {
            "request": asked.body,
            "status": response.status_code,
            "headers": [
                f"{name}: {masked_header(name, value, asked.secrets)}"
                for name, value in headers
            ],
            **body_of(response.content, asked.secrets),
        }
        self._tracks.setdefault(asked.key, []).append(track)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self._tracks, indent=2, ensure_ascii=False, sort_keys=True)
        self.path.write_text(text + "\n", "utf-8")
        options = {"content": response.content, "headers": headers}
        return Reply(response.status_code, options)


class Asked:
    """A request as a cassette knows it: without its secrets, and without its host.

    Attributes:
        key: What tells it apart from others.
        shown: What to call it in an error.
        body: What to tell of its body; values are hashes, and secret ones left out.

    Secrets make no difference, so that tests need not know those of the recording.
    """

    def __init__(self, request: Any, secrets: list[str]) -> None:
        url = f"http://host{request.url.raw_path.decode('ascii')}"
        path = mask_url(url, secrets).removeprefix("http://host")
        self.secrets = secrets
        self.start = f"{request.method} {path}"
        self.shown = f"{request.method} {mask_url(str(request.url), secrets)}"
        self.key = self.start
        self.body: dict[str, Any] = {}
        if not request.content:
            return
        kind = request.headers.get("content-type", "")
        text = mask_text(
            same_boundary(request.content, kind).decode("latin-1"), secrets
        )
        # Who knows the rest of a body could guess a password by the hash of it all.
        fields = fields_of(text, kind)
        known = json.dumps(fields, sort_keys=True) if fields else text
        self.key += f" {hash_of(known)}"
        self.body = {
            "type": kind.partition(";")[0],
            "length": len(text),
            "fields": {
                name: hash_of(value)[:6]
                for name, value in fields.items()
                if not is_secret_name(name)
            },
        }

    def difference_to(self, tracks: dict[str, list[dict[str, Any]]]) -> str:
        """Say what distinguishes this request from those that *tracks* answer."""
        for key, (track, *_) in tracks.items():
            if key in (self.start, self.key) or key.startswith(f"{self.start} "):
                return f"It has one with another body: {self._body_unlike(track)}."
        if not tracks:
            return "It has none at all."
        path = self.start.partition("?")[0]
        # Those that differ in their parameters alone come first.
        keys = sorted(tracks, key=lambda key: (key.partition("?")[0] != path, key))
        named = ", ".join(keys[:MOST_NAMED])
        return f"It has {named}{', ...' if len(keys) > MOST_NAMED else ''}."

    def _body_unlike(self, track: dict[str, Any]) -> str:
        mine, other = self.body, track["request"]
        fields, others = mine.get("fields", {}), other.get("fields", {})
        names = sorted(fields.keys() | others.keys())
        unlike = [name for name in names if fields.get(name) != others.get(name)]
        if unlike:
            return f"{', '.join(map(repr, unlike))} differ"
        if summary_of(mine) == summary_of(other):
            return "what it says differs"
        return f"{summary_of(other)} instead of {summary_of(mine)}"


def summary_of(body: dict[str, Any]) -> str:
    """Say in words what kind of body a request has."""
    return f"{body['type'] or 'data'} of {body['length']} bytes" if body else "none"


def hash_of(text: str) -> str:
    """Return what stands for *text* without telling it."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def same_boundary(content: bytes, kind: str) -> bytes:
    """Return a body without the random boundary of its parts."""
    found = BOUNDARY.search(kind.encode("latin-1", "replace"))
    return content.replace(found[1], b"boundary") if found else content


def fields_of(text: str, kind: str) -> dict[str, str]:
    """Return the fields of a form, or of something in JSON, without secrets."""
    if kind.startswith("application/x-www-form-urlencoded"):
        fields: Any = {}
        for name, value in parse_qsl(text, keep_blank_values=True):
            fields.setdefault(name, []).append(value)
    else:
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):
            return {}
    if isinstance(fields, list):
        fields = dict(enumerate(fields))
    if not isinstance(fields, dict):
        return {}
    return {
        str(name): json.dumps(item, sort_keys=True)
        for name, item in without_secrets(fields).items()
    }


def without_secrets(value: Any) -> Any:
    """Return *value*, a mask in the place of what seems secret by its name."""
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: MASK if is_secret_name(str(name)) else without_secrets(item)
        for name, item in value.items()
    }


def kept_headers(response: Any) -> list[tuple[str, str]]:
    """Return the headers of *response* that fit its body as it was decoded."""
    # An answer to HEAD tells the length of what it does not have.
    unkept = UNKEPT_HEADERS | ({"content-length"} if response.content else set())
    pairs: Iterable[tuple[str, str]] = response.headers.multi_items()
    return [(name, value) for name, value in pairs if name.lower() not in unkept]


def masked_header(name: str, value: str, secrets: list[str]) -> str:
    """Return the value of a header without secrets, as useful as before if possible."""
    name = name.lower()
    if name == "set-cookie":
        return re.sub("=[^;]*", f"={MASK}", value, count=1)
    if name == "location":
        return followed_url(value, secrets)
    if name == "link":
        value = re.sub("(?<=<)[^>]*", lambda url: followed_url(url[0], secrets), value)
    elif name != CHALLENGE and is_secret_name(name):
        return MASK
    return mask_text(value, secrets)


def followed_url(url: str, secrets: list[str]) -> str:
    """Return *url* as it is, unless it tells a secret: a client may compare it."""
    masked = mask_url(url, secrets)
    # A fragment may be a token, and is in no request.
    return masked if MASK in masked or "#" in url else url


def body_of(content: bytes, secrets: list[str]) -> dict[str, str]:
    """Return *content* without secrets: as text, or as Base64 if it is none."""
    try:
        return {"body": mask_text(content.decode(), secrets)}
    except UnicodeDecodeError:
        for secret in secrets:
            content = content.replace(secret.encode(), MASK.encode())
        return {"base64": base64.b64encode(content).decode()}


def reply_of(track: dict[str, Any]) -> Reply:
    """Return the response that *track* has kept."""
    is_text = "body" in track
    content = track["body"].encode() if is_text else base64.b64decode(track["base64"])
    headers = [tuple(line.split(": ", 1)) for line in track["headers"]]
    return Reply(track["status"], {"content": content, "headers": headers})


def recorded(path: str | Path, *, record: bool = False) -> Cassette:
    """Let the real method run, and answer its requests from the file *path*.

    Responses are found by method, path, parameters and body; several to the same
    request come in their order. With *record*, real requests are made, and the file is
    written anew. Credentials, cookies and headers that seem secret are masked in it,
    but look at it before you share it: what is secret in the body of a response is
    known to nobody else.
    """
    return Cassette(Path(path), record=record)
