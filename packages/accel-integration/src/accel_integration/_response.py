"""Responses: what an endpoint declares to return, and making that of what came."""

import functools
import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    PydanticSchemaGenerationError,
    TypeAdapter,
    ValidationError,
)

from accel_integration._annotations import members_of
from accel_integration._context import Exchange
from accel_integration._errors import (
    ResponseError,
    ResponseStatusError,
    ResponseValidationError,
    is_refused_by_client,
)
from accel_integration._masking import (
    is_secret_name,
    mask_text,
    mask_url,
    one_line,
    secrets_in,
)
from accel_integration._outcome import parse_retry_after

__all__ = [
    "Alternative",
    "Place",
    "Received",
    "ResponseSchema",
    "adapter_for",
    "readable",
]

STATUS_NAME = re.compile(r"^http_?([1-5]\d\d)(?!\d)", re.IGNORECASE)
FIRST_ERROR_STATUS = 400
KILOBYTE = 1024
ILLEGAL_HEADER = (
    "Illegal header: it has a line break, a space at its end, or another character that "
    "no header may have. It is not shown, since it may be a secret: look for a secret "
    "with a line break at its end, and strip it."
)
SHOWN_ERRORS = 5
# What the body of a response is, and what a method hands on without having looked at it.
BODY_TYPES: frozenset[type] = frozenset({str, bytes, list, dict, type(None)})


def adapter_for(annotation: Any) -> TypeAdapter[Any]:
    """Return what validates *annotation*; unknown classes are checked by instance."""
    try:
        return TypeAdapter(annotation)
    except PydanticSchemaGenerationError:
        lenient = ConfigDict(arbitrary_types_allowed=True)
        return TypeAdapter(annotation, config=lenient)


# What comes of reading a body that is no JSON, or none that anybody could mean.
# A number of more digits than Python reads is only a ValueError.
UNREADABLE = (ValueError, RecursionError)


class Fit(NamedTuple):
    """How well data fits a schema: more keys known, fewer unknown is better."""

    known: int
    unknown: int

    @property
    def rank(self) -> tuple[int, int]:
        return self.known, -self.unknown


def fit_of(value: object, data: object) -> Fit:
    """Return how well *data* fits what was made of it."""
    if isinstance(value, BaseModel) and isinstance(data, dict):
        return _fit_of_model(value, data)
    if isinstance(value, list) and isinstance(data, list):
        fits = [fit_of(item, raw) for item, raw in zip(value, data, strict=False)]
        return Fit(sum(f.known for f in fits), sum(f.unknown for f in fits))
    return Fit(0, 0)


def _fit_of_model(model: BaseModel, data: dict[Any, Any]) -> Fit:
    known, unknown = 0, len(data)
    # Only what was in the data counts: defaults fit everything.
    for name in model.model_fields_set & type(model).model_fields.keys():
        inner = fit_of(getattr(model, name), data.get(name))
        known += 1 + inner.known
        unknown += inner.unknown - 1
    return Fit(known, max(0, unknown))


class Alternative:
    """One member of the declared union.

    Its *status* comes from its name, or from that of its items: `http400` is 400.
    """

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        self.adapter = adapter_for(annotation)
        items = get_args(annotation) if get_origin(annotation) is list else ()
        kind = items[0] if items else annotation
        match = STATUS_NAME.match(getattr(kind, "__name__", ""))
        self.status = int(match[1]) if match else None
        self.takes_all = annotation in (Any, object)


class Received(NamedTuple):
    """What an endpoint returned, and what is known of the response behind it."""

    data: Any
    status: int | None
    retry_after: str | None
    # Whether the method made it itself, whatever the response was.
    is_made: bool = False
    # Why the body could not be read.
    flaw: str | None = None

    @classmethod
    def of_response(cls, response: Any, wanted: Any = None) -> "Received":
        """Read *response*, of whose body nothing but a *wanted* type is declared."""
        flaw = None
        # Not every body is what its content type says.
        try:
            data = read_body(response, wanted)
        except (ValueError, RecursionError) as exc:
            data, flaw = text_in(response), flaw_of(exc)
        retry_after = response.headers.get("retry-after")
        return cls(data, response.status_code, retry_after, flaw=flaw)

    @property
    def is_error(self) -> bool:
        """Whether the response has an error status."""
        return self.status is not None and self.status >= FIRST_ERROR_STATUS

    def text(self) -> str:
        """Return the body, as far as it is known."""
        if isinstance(self.data, str):
            return self.data
        if isinstance(self.data, bytes):
            return self.data.decode(errors="replace")
        try:
            return json.dumps(self.data, default=_type_name, ensure_ascii=False)
        except RecursionError:
            return _type_name(self.data)


def read_body(response: Any, wanted: Any) -> Any:
    """Return what is in the body of *response*: JSON, unless bytes or text is *wanted*."""
    if wanted is bytes:
        return response.content
    data = response.json() if response.content else None
    # A text may look like JSON, such as a number.
    if wanted is str and not isinstance(data, str):
        kind = response.headers.get("content-type", "json")
        return data if "json" in kind else text_in(response)
    return data


def text_in(response: Any) -> str:
    """Return the body of *response*, whatever it says of its charset."""
    try:
        return str(response.text)
    except Exception:  # noqa: BLE001 - it may name any codec, which may raise anything
        return str(response.content, errors="replace")


def text_of(exc: Exception) -> str | bytes | None:
    """Return the JSON that could not be read, or None if *exc* is about nothing such."""
    if isinstance(exc, json.JSONDecodeError):
        return exc.doc
    frame, traceback = None, exc.__traceback__
    while traceback is not None:
        frame, traceback = traceback.tb_frame, traceback.tb_next
    # Elsewhere, these may well be mistakes of ours.
    home = "" if frame is None else frame.f_globals.get("__name__", "")
    if frame is None or home.partition(".")[0] != "json":
        return None
    if isinstance(exc, UnicodeDecodeError):
        return exc.object
    return str(frame.f_locals.get("s", ""))


def flaw_of(exc: Exception) -> str:
    """Say why a body could not be read, without any of it."""
    if isinstance(exc, RecursionError):
        return "the answer is nested too deeply"
    reason = exc.msg if isinstance(exc, json.JSONDecodeError) else type(exc).__name__
    return f"the answer is no JSON ({reason})"


def is_response(value: object) -> bool:
    """Tell whether *value* has the shape of a response of httpx."""
    has_status = isinstance(getattr(value, "status_code", None), int)
    return has_status and hasattr(value, "content") and hasattr(value, "headers")


def _type_name(value: object) -> str:
    return f"<{type(value).__name__}>"


def secrets_sent(exchange: Exchange) -> list[str]:
    """Return what was sent in headers that seem secret, such as a password in Base64."""
    headers = exchange.request.headers.items() if exchange.request else ()
    values = [value for name, value in headers if is_secret_name(name)]
    return [*values, *(value.rpartition(" ")[2] for value in values)]


class Place:
    """Where an answer comes from; it is masked only when an error tells of it."""

    __slots__ = ("credentials", "full_url", "last_read", "name")

    def __init__(self, name: str, full_url: str, credentials: Any) -> None:
        self.name = name
        self.full_url = full_url
        self.credentials = credentials
        # The last response that was read, so that none is read twice in a call.
        self.last_read: tuple[Any, Received] | None = None

    @property
    def secrets(self) -> list[str]:
        """The secrets that must not show."""
        return secrets_in(self.credentials)

    @property
    def url(self) -> str:
        """The URL without secrets."""
        return mask_url(self.full_url, self.secrets)


class ResponseSchema:
    """Everything that an endpoint declares to return."""

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        members = members_of(annotation)
        self.alternatives = [Alternative(member) for member in members]
        # What needs no validation. A plain dict may be the body of any schema.
        self._finished = {
            member
            for member in members
            if isinstance(member, type) and member is not dict
        }
        # Beside a schema for success, None is what a method says that found nothing.
        nothing: type = type(None)
        finds = any(
            alt.status is None and alt.annotation not in (None, nothing)
            for alt in self.alternatives
        )
        self._bodies = BODY_TYPES - {nothing} if finds else BODY_TYPES

    def convert(
        self,
        value: Any,
        exchange: Exchange,
        place: Place,
    ) -> Any:
        """Return *value* as the schema that fits it.

        The status decides where it is known: a schema named after it is the only one
        to try. Otherwise the schema that fits best wins, not the first one, and an
        undeclared error status makes do with a model that fits perfectly only, or with
        what the method made itself.

        Raises:
            ResponseStatusError: Nothing is declared for the status.
            ResponseValidationError: Nothing declared fits.
        """
        kind = type(value)
        if kind in self._finished and (
            kind not in self._bodies or (exchange.status or 0) < FIRST_ERROR_STATUS
        ):
            return value
        # Not kept: who has the response knows its place, and would keep all of it.
        last, place.last_read = place.last_read, None
        if last is not None and last[0] is value:
            received = last[1]
        else:
            received = self._received(value, exchange)
        try:
            found, errors = self._best(received)
        except RecursionError as exc:
            raise self._error(received, exchange, place, [flaw_of(exc)]) from None
        if found:
            return found[0]
        if received.flaw is not None:
            errors = [received.flaw]
        raise self._error(received, exchange, place, errors) from None

    def check(self, response: Any, exchange: Exchange, place: Place) -> None:
        """Refuse garbage that came with a good status, while patterns can see it.

        Whatever else may be wrong with *response* is left for the end of the call: to
        patterns, it is a response.

        Raises:
            ResponseValidationError: Nobody can read it.
        """
        # One that is still open is for whoever gets it.
        is_whole = getattr(response, "is_closed", True)
        if (
            type(response) in self._finished
            or not is_whole
            or not is_response(response)
        ):
            return
        if response.status_code >= FIRST_ERROR_STATUS:
            return
        received = self._received(response, exchange)
        place.last_read = response, received
        if received.flaw is not None and not self._best(received)[0]:
            raise self._error(received, exchange, place, [received.flaw])

    def _received(self, value: Any, exchange: Exchange) -> Received:
        """Look at *value*, which is a response or what was made of one."""
        if is_response(value):
            candidates = self._candidates(value.status_code)
            wanted = candidates[0].annotation if len(candidates) == 1 else None
            return Received.of_response(value, wanted)
        is_made = type(value) not in self._bodies or exchange.fallbacks > 0
        return Received(value, exchange.status, exchange.retry_after, is_made)

    def _best(self, received: Received) -> tuple[list[Any], list[str]]:
        """Return what fits best, if anything does, and what is wrong with the rest."""
        fitting: list[tuple[Fit, Any]] = []
        errors: list[str] = []
        candidates = self._candidates(received.status)
        is_contested = len(candidates) > 1
        for alternative in candidates:
            try:
                value = alternative.adapter.validate_python(received.data)
            except ValidationError as exc:
                errors += self._reasons(alternative, exc)
                continue
            # Nothing to compare it with, and nothing that it could be mistaken for.
            if not (is_contested or received.is_error):
                return [value], []
            fit = fit_of(value, received.data)
            if self._is_credible(alternative, fit, received):
                fitting.append((fit, value))
        if not fitting:
            return [], errors[:SHOWN_ERRORS]
        return [max(fitting, key=lambda found: found[0].rank)[1]], []

    def _candidates(self, status: int | None) -> list[Alternative]:
        if status is None:
            return self.alternatives
        # A class named after the status is the only one meant for it.
        named = [alt for alt in self.alternatives if alt.status == status]
        return named or [alt for alt in self.alternatives if alt.status is None]

    def _is_credible(
        self, alternative: Alternative, fit: Fit, received: Received
    ) -> bool:
        """Tell whether a schema for success may take the body of an error."""
        if not received.is_error or alternative.status == received.status:
            return True
        if alternative.takes_all or received.is_made:
            return True
        return fit.known > 0 and fit.unknown == 0

    def unreadable(
        self, exc: Exception, exchange: Exchange, place: Place
    ) -> ResponseError | None:
        """Return what *exc*, raised by a method that read a body, says of the answer.

        None is returned for what has nothing to do with an answer.
        """
        if exchange.status is None or (text := text_of(exc)) is None:
            return None
        received = Received(text, exchange.status, exchange.retry_after)
        return self._error(received, exchange, place, [flaw_of(exc)])

    def _reasons(self, alternative: Alternative, exc: ValidationError) -> list[str]:
        """Return where and why *exc* was raised, without the values."""
        name = getattr(alternative.annotation, "__name__", str(alternative.annotation))
        prefix = f"{name}: " if len(self.alternatives) > 1 else ""
        return [
            f"{prefix}{'.'.join(map(str, error['loc'])) or 'the answer'}: {error['msg']}"
            for error in exc.errors(
                include_input=False, include_url=False, include_context=False
            )
        ]

    def _error(
        self,
        received: Received,
        exchange: Exchange,
        place: Place,
        errors: list[str],
    ) -> ResponseError:
        status = received.status
        # Who fails may well show the request that it got.
        secrets = secrets_in((place.credentials, secrets_sent(exchange)))
        # Masked before it is cut, so that no half of a secret is left at the end.
        body = mask_text(received.text(), secrets)[:KILOBYTE]
        declared = any(alt.status == status for alt in self.alternatives)
        # An error that was foreseen but looks otherwise is a matter of validation.
        if status is not None and received.is_error and not declared:
            return ResponseStatusError(
                place.name,
                url=place.url,
                status=status,
                body=body,
                retry_after=parse_retry_after(received.retry_after),
            )
        return ResponseValidationError(
            place.name,
            url=place.url,
            status=status,
            body=body,
            # Names of fields are the other side's, too.
            errors=[one_line(mask_text(error, secrets)) for error in errors],
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
