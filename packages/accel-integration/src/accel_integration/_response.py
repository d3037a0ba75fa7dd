"""Responses: what an endpoint declares to return, and making that of what came."""

from typing import Any

from pydantic import ValidationError

from accel_integration._alternatives import Alternative, Fit, fit_of
from accel_integration._annotations import members_of
from accel_integration._context import Exchange
from accel_integration._errors import (
    ResponseError,
    ResponseStatusError,
    ResponseValidationError,
)
from accel_integration._masking import mask_text, one_line, secrets_in
from accel_integration._outcome import parse_retry_after
from accel_integration._place import Place, secrets_sent
from accel_integration._received import (
    FIRST_ERROR_STATUS,
    Received,
    flaw_of,
    is_response,
    text_of,
)

__all__ = ["ResponseSchema"]

KILOBYTE = 1024
SHOWN_ERRORS = 5
# What the body of a response is, and what a method hands on without having looked at it.
BODY_TYPES: frozenset[type] = frozenset({str, bytes, list, dict, type(None)})


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
