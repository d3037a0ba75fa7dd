"""HTTP errors that a handler raises by name."""

from typing import Any, ClassVar

from fastapi import HTTPException


class _HTTPException(HTTPException):
    status: ClassVar[int]
    detail: str

    def __init__(
        self, detail: Any = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(self.status, detail or type(self).detail, headers)


class HTTPException400(_HTTPException):
    """Raised when a request makes no sense."""

    status = 400
    detail = "The request could not be processed."


class HTTPException401(_HTTPException):
    """Raised when a request does not say who sends it."""

    status = 401
    detail = "Authentication is required."

    def __init__(
        self, detail: Any = None, headers: dict[str, str] | None = None
    ) -> None:
        # RFC 9110, section 15.5.2: a 401 must carry a challenge.
        own = headers or {}
        if "www-authenticate" not in map(str.lower, own):
            own = {"WWW-Authenticate": "Bearer", **own}
        super().__init__(detail, own)


class HTTPException403(_HTTPException):
    """Raised when the sender of a request may not do this."""

    status = 403
    detail = "Access to this resource is forbidden."


class HTTPException404(_HTTPException):
    """Raised when a request names something that does not exist."""

    status = 404
    detail = "The resource was not found."


class HTTPException405(_HTTPException):
    """Raised when a resource does not support the method of a request."""

    status = 405
    detail = "This method is not allowed here."


class HTTPException406(_HTTPException):
    """Raised when no representation suits what a request accepts."""

    status = 406
    detail = "No acceptable representation exists."


class HTTPException409(_HTTPException):
    """Raised when a request contradicts the state of the resource."""

    status = 409
    detail = "The request conflicts with the current state."


class HTTPException410(_HTTPException):
    """Raised when a resource existed once and is gone for good."""

    status = 410
    detail = "The resource is gone."


class HTTPException412(_HTTPException):
    """Raised when a precondition of a request does not hold."""

    status = 412
    detail = "A precondition failed."


class HTTPException413(_HTTPException):
    """Raised when the body of a request is too large."""

    status = 413
    detail = "The request body is too large."


class HTTPException415(_HTTPException):
    """Raised when the body of a request has a type that is not understood."""

    status = 415
    detail = "The media type is not supported."


class HTTPException422(_HTTPException):
    """Raised when a request is well-formed but its content is not valid."""

    status = 422
    detail = "The content is not valid."


class HTTPException423(_HTTPException):
    """Raised when a resource is locked."""

    status = 423
    detail = "The resource is locked."


class HTTPException428(_HTTPException):
    """Raised when a request must be conditional and is not."""

    status = 428
    detail = "This request must be conditional."


class HTTPException429(_HTTPException):
    """Raised when a client sends too many requests."""

    status = 429
    detail = "Too many requests."


class HTTPException500(_HTTPException):
    """Raised when the service failed."""

    status = 500
    detail = "Internal server error."


class HTTPException501(_HTTPException):
    """Raised when the service does not implement what a request asks for."""

    status = 501
    detail = "This is not implemented."


class HTTPException502(_HTTPException):
    """Raised when a service behind this one answered badly."""

    status = 502
    detail = "An upstream service failed."


class HTTPException503(_HTTPException):
    """Raised when the service cannot answer for now."""

    status = 503
    detail = "The service is unavailable for now."
