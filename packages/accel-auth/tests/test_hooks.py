"""Hooks may be written in any shape, and never stop the loop."""

import threading

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from accel_auth import BaseAuthJWT, HookError

SECRET = "a-secret-of-these-tests-that-is-long-enough"


class PlainAsync(BaseAuthJWT):
    async def check_auth(username, password):
        return (username, password) == ("admin", "pw")

    async def add_jwt_body(username):
        return {"shape": "plain async"}


class PlainSync(BaseAuthJWT):
    def check_auth(username, password):
        return (username, password) == ("admin", "pw")

    def add_jwt_body(username):
        return {"shape": "plain sync"}


class WithSelf(BaseAuthJWT):
    secret_of_admin = "pw"

    async def check_auth(self, username, password):
        return (username, password) == ("admin", self.secret_of_admin)

    def add_jwt_body(self, username):
        return {"shape": "self"}


class WithCls(BaseAuthJWT):
    secret_of_admin = "pw"

    async def check_auth(cls, username, password):
        return (username, password) == ("admin", cls.secret_of_admin)

    async def add_jwt_body(cls, username):
        return {"shape": "cls"}


class ClassMethods(BaseAuthJWT):
    @classmethod
    async def check_auth(cls, username, password):
        return (username, password) == ("admin", "pw")

    @classmethod
    def add_jwt_body(cls, username):
        return {"shape": "classmethod"}


class StaticMethods(BaseAuthJWT):
    @staticmethod
    def check_auth(username, password):
        return (username, password) == ("admin", "pw")

    @staticmethod
    async def add_jwt_body(username):
        return {"shape": "staticmethod"}


class NoBody(BaseAuthJWT):
    async def check_auth(username, password):
        return (username, password) == ("admin", "pw")


SHAPES = {
    PlainAsync: "plain async",
    PlainSync: "plain sync",
    WithSelf: "self",
    WithCls: "cls",
    ClassMethods: "classmethod",
    StaticMethods: "staticmethod",
    NoBody: None,
}


def log_in(auth, password):
    app = FastAPI()
    app.state.SECRET_KEY = SECRET
    mounted = auth.mount_auth(app)
    form = {"username": "admin", "password": password}
    return mounted, TestClient(app).post("/token", data=form)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("instance", [False, True])
def test_accepts_every_shape_of_hook(shape, instance):
    auth = shape() if instance else shape

    mounted, right = log_in(auth, "pw")
    _, wrong = log_in(auth, "other")

    assert (right.status_code, wrong.status_code) == (200, 401)
    claims = mounted.verify(right.json()["access_token"])
    assert claims["sub"] == "admin"
    assert claims.get("shape") == SHAPES[shape]


def test_a_sync_hook_runs_off_the_event_loop():
    threads = {}

    class Slow(BaseAuthJWT):
        def check_auth(username, password):
            threads["hook"] = threading.get_ident()
            return True

        async def add_jwt_body(username):
            threads["loop"] = threading.get_ident()

    log_in(Slow, "pw")

    assert threads["hook"] != threads["loop"]


def test_an_instance_keeps_its_own_state():
    class Tenant(BaseAuthJWT):
        def __init__(self, password):
            self.password = password

        async def check_auth(self, username, password):
            return password == self.password

    _, first = log_in(Tenant("one"), "one")
    _, second = log_in(Tenant("two"), "one")

    assert (first.status_code, second.status_code) == (200, 401)


def test_a_missing_hook_is_named_at_mount():
    class Empty(BaseAuthJWT):
        pass

    with pytest.raises(
        HookError, match=r"`Empty\.check_auth` is missing\. Write it as"
    ):
        Empty.mount_auth(FastAPI())


def test_a_hook_with_other_arguments_is_named_at_mount():
    class Odd(BaseAuthJWT):
        async def check_auth(username, password, tenant, request):
            return True

    with pytest.raises(HookError, match=r"takes 4 arguments.*\(username, password\)"):
        Odd.mount_auth(FastAPI())


def test_an_unknown_option_is_refused():
    with pytest.raises(TypeError, match=r"unknown options: isuer"):
        PlainAsync(isuer="typo")


def test_options_may_be_attributes_of_the_class():
    class Configured(PlainAsync):
        issuer = "https://us.example"
        audience = "api"
        ACCESS_TOKEN_EXPIRE_MINUTES = 5

    mounted, response = log_in(Configured, "pw")

    claims = mounted.verify(response.json()["access_token"])
    assert (claims["iss"], claims["aud"]) == ("https://us.example", "api")
    assert claims["exp"] - claims["iat"] == 300
