"""Cassettes: real responses kept in a file, to be given again in tests."""

import hashlib
import inspect
import json
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from accel_integration._api import ApiHTTP
from accel_integration._masking import mask_text, mask_url, secrets_in
from accel_integration._mocks import Reply

__all__ = ["Cassette", "UnrecordedRequestError", "recorded"]

# What of the headers of a response means something to an endpoint.
KEPT_HEADERS = ("content-type", "retry-after")


class UnrecordedRequestError(AssertionError):
    """Raised when a cassette has no response for a request."""

    def __init__(self, path: Path, request: str) -> None:
        super().__init__(
            f"{path} has no response to {request}. Record it once with "
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
        secrets = secrets_in(api.credentials)
        key = key_of(request, secrets)
        if not self.record:
            return self._play(key)
        response = api.client.send(request)
        if inspect.isawaitable(response):
            return self._keep_later(key, response, secrets)
        return self._keep(key, response, secrets)

    def _play(self, key: str) -> Reply:
        tracks = self._tracks.get(key)
        if not tracks:
            raise UnrecordedRequestError(self.path, key)
        position = self._positions.get(key, 0)
        self._positions[key] = position + 1
        track = tracks[min(position, len(tracks) - 1)]
        options = {"text": track["body"], "headers": track["headers"]}
        return Reply(track["status"], options)

    async def _keep_later(
        self, key: str, response: Awaitable[Any], secrets: list[str]
    ) -> Reply:
        return self._keep(key, await response, secrets)

    def _keep(self, key: str, response: Any, secrets: list[str]) -> Reply:
        headers = response.headers
        track = {
            "status": response.status_code,
            "headers": {
                name: headers[name] for name in KEPT_HEADERS if name in headers
            },
            "body": mask_text(response.text, secrets),
        }
        self._tracks.setdefault(key, []).append(track)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self._tracks, indent=2, ensure_ascii=False, sort_keys=True)
        self.path.write_text(text + "\n", "utf-8")
        options = {"text": response.text, "headers": track["headers"]}
        return Reply(response.status_code, options)


def key_of(request: Any, secrets: list[str]) -> str:
    """Return what tells *request* apart from others, without secrets or its host."""
    url = request.url.copy_with(scheme="http", host="host", port=None)
    path = mask_url(str(url), secrets).removeprefix("http://host")
    key = f"{request.method} {path}"
    if not request.content:
        return key
    masked = mask_text(request.content.decode("latin-1"), secrets)
    return f"{key} {hashlib.sha256(masked.encode()).hexdigest()[:16]}"


def recorded(path: str | Path, *, record: bool = False) -> Cassette:
    """Let the real method run, and answer its requests from the file *path*.

    Responses are found by method, path, parameters and body; several to the same
    request come in their order. With *record*, real requests are made, and the file is
    written anew. Credentials are masked in it, but look at it before you share it:
    what is secret in a response is known to nobody else.
    """
    return Cassette(Path(path), record=record)
