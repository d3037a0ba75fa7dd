"""The kit for the tests of services."""

import inspect
from types import MappingProxyType

import pytest
from fastapi import FastAPI

from accel_auth import NotMountedError
from accel_auth.testing import auth_headers, auth_token, client_auth_jwt


def test_headers_authenticate_as_anybody(service):
    response = service.client.get("/me", headers=auth_headers(service.app, "anna"))

    assert response.json()["sub"] == "anna"


def test_the_hook_and_the_arguments_add_claims(service):
    token = auth_token(service.app, "admin", tenant="t1")

    claims = service.auth.verify(token)

    assert claims["scope"] == "users:read users:write"
    assert claims["tenant"] == "t1"


def test_broken_tokens_are_one_argument_away(service):
    expired = auth_headers(service.app, "admin", exp=0)
    narrow = auth_headers(service.app, "admin", scope="")

    assert service.client.get("/me", headers=expired).status_code == 401
    assert service.client.get("/users", headers=narrow).status_code == 403


@pytest.mark.anyio
async def test_it_works_inside_a_loop_too(service):
    assert auth_headers(service.app)["Authorization"].startswith("Bearer ")


def test_the_decorator_authenticates_and_cleans_up(service):
    @client_auth_jwt(username="anna")
    def test_name(client, extra=1):
        return client.get("/me").json()["sub"]

    assert test_name(client=service.client) == "anna"
    assert "authorization" not in service.client.headers
    assert list(inspect.signature(test_name).parameters) == ["client", "extra"]


def test_the_decorator_takes_the_name_from_the_class(service):
    class TestName:
        TEST_USER = MappingProxyType({"username": "tool"})

        @client_auth_jwt()
        def test_name(self, client):
            return client.get("/me").json()["sub"]

    assert TestName().test_name(client=service.client) == "tool"


@pytest.mark.anyio
async def test_the_decorator_wraps_async_tests(service):
    service.client.headers["authorization"] = "Basic kept"

    @client_auth_jwt("anna", app=service.app, scope="users:read")
    async def test_name(client):
        return client.headers["authorization"]

    assert (await test_name(client=service.client)).startswith("Bearer ")
    assert service.client.headers["authorization"] == "Basic kept"


def test_a_test_without_a_client_says_so():
    @client_auth_jwt()
    def test_nothing():
        """Do nothing."""

    with pytest.raises(TypeError, match=r"`test_nothing` must take .* `client`"):
        test_nothing()


def test_an_app_without_authentication_says_so():
    with pytest.raises(NotMountedError, match=r"mount_auth\(app\)"):
        auth_headers(FastAPI(title="bare"))


def test_several_authentications_share_an_app(service, auth_class, clock):
    from typing import Annotated

    from fastapi import Depends

    staff = auth_class(keys="staff-secret-that-is-long-enough-too", clock=clock)
    staff.mount_auth(service.app, prefix="/staff")

    @service.app.get("/staff/me")
    async def me(claims: Annotated[dict, Depends(staff.jwt_auth)]):
        return claims["sub"]

    form = {"username": "anna", "password": "anna-pw"}
    theirs = service.client.post("/staff/token", data=form).json()["access_token"]
    ours = service.log_in().json()["access_token"]

    assert service.me(theirs, "/staff/me").json() == "anna"
    assert service.me(ours, "/staff/me").status_code == 401
    assert service.me(theirs).status_code == 401
