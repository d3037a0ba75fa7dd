"""Errors keep the seam "errors", and FastAPI answers them as they are."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import accel_auth
from accel_auth import (
    AuthConfigError,
    AuthError,
    AuthRequestError,
    AuthUnavailableError,
    InvalidFormError,
    InvalidTokenError,
    LoginThrottledError,
    WeakSecretError,
)

ERRORS = [
    value
    for name, value in vars(accel_auth).items()
    if name.endswith("Error") and isinstance(value, type)
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_every_error_carries_the_two_attributes(error):
    assert issubclass(error, AuthError)
    assert 400 <= error.http_status < 600
    assert error.retry_after is None
    assert error.__doc__.startswith(("Raised ", "Base of "))


@pytest.mark.parametrize(
    ("error", "status", "header"),
    [
        (InvalidTokenError("reason"), 401, ("www-authenticate", "invalid_token")),
        (LoginThrottledError(2.2), 429, ("retry-after", "3")),
        (AuthUnavailableError(30), 503, ("retry-after", "30")),
    ],
    ids=repr,
)
def test_fastapi_answers_a_refusal_by_itself(error, status, header):
    app = FastAPI()

    @app.get("/")
    async def fail():
        raise error

    response = TestClient(app).get("/")

    name, value = header
    assert response.status_code == status
    assert value in response.headers[name]
    assert response.json() == {"detail": str(error)}
    assert "reason" not in response.text


def test_what_the_developer_must_fix_is_not_shown_to_clients():
    app = FastAPI()

    @app.get("/")
    async def fail():
        raise WeakSecretError(5, 32, "HS256")

    response = TestClient(app, raise_server_exceptions=False).get("/")

    assert response.status_code == 500
    assert "secret" not in response.text.lower()
    assert not issubclass(AuthConfigError, AuthRequestError)


def test_the_text_of_a_refusal_is_its_message():
    assert str(InvalidFormError("The form field `x` is missing.")) == (
        "The form field `x` is missing."
    )
