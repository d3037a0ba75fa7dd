"""A service with a secret that can be guessed does not start."""

from contextlib import asynccontextmanager
from urllib.parse import urljoin

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import APIRouter, Depends, FastAPI
from fastapi.testclient import TestClient

from accel_auth import Key, KeyMaterialError, NotMountedError, WeakSecretError, jwt_auth

GOOD = "a-secret-of-these-tests-that-is-long-enough"
RSA = rsa.generate_private_key(65537, 2048)
PEM = RSA.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
DER = RSA.public_key().public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
)


def start(app):
    with TestClient(app):
        pass


@pytest.mark.parametrize(
    ("secret", "found"),
    [(None, "missing or empty"), ("", "missing or empty"), ("short", "5 bytes long")],
)
def test_a_weak_secret_refuses_to_start(auth_class, secret, found):
    app = FastAPI()
    auth_class().mount_auth(app)
    app.state.SECRET_KEY = secret

    with pytest.raises(
        WeakSecretError, match=rf"{found}.*at least 32 bytes.*secrets\."
    ):
        start(app)


@pytest.mark.parametrize("debug", ["app", "state"])
def test_debug_starts_with_a_weak_secret(auth_class, service_class, caplog, debug):
    service = service_class(auth_class(), secret="short")
    service.app.debug = debug == "app"
    service.app.state.DEBUG = debug == "state"

    with service.client:
        token = service.log_in().json()["access_token"]

    assert service.me(token).status_code == 200
    assert "SECRET_KEY is weak" in caplog.text
    assert "short" not in caplog.text


def test_debug_without_a_secret_draws_one(auth_class, service_class, caplog):
    service = service_class(auth_class(), secret=None)
    service.app.debug = True

    token = service.log_in().json()["access_token"]

    assert service.me(token).status_code == 200
    assert "No SECRET_KEY" in caplog.text


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize(
    "secret",
    [PEM, PEM.decode(), DER, "ssh-ed25519 AAAAC3 x", '{"kty": "RSA", "n": "x"}'],
    ids=["pem", "text", "der", "ssh", "jwk"],
)
def test_a_public_key_as_secret_never_starts(auth_class, secret, debug):
    app = FastAPI(debug=debug)
    app.state.SECRET_KEY = secret
    auth_class().mount_auth(app)

    with pytest.raises(
        KeyMaterialError, match=r"PEM, DER, SSH or JWK.*algorithm=\"RS256\""
    ):
        start(app)


def test_a_weak_configured_key_refuses_to_start(auth_class):
    app = FastAPI()
    auth_class(keys=[Key("k" * 40, algorithm="HS512")]).mount_auth(app)

    with pytest.raises(WeakSecretError, match=r"HS512 is 40 bytes.*at least 64"):
        start(app)


def test_the_secret_may_come_from_the_apps_own_lifespan(auth_class):
    started = []

    @asynccontextmanager
    async def lifespan(app):
        app.state.SECRET_KEY = GOOD
        started.append(app)
        yield {"kept": "state"}
        started.clear()

    app = FastAPI(lifespan=lifespan)
    auth_class().mount_auth(app)

    with TestClient(app) as client:
        assert started == [app]
        assert client.app_state["kept"] == "state"

    assert started == []


def test_a_weak_secret_is_refused_at_first_use_too(auth_class, service_class):
    service = service_class(auth_class(), secret="short")

    with pytest.raises(WeakSecretError):
        service.log_in()


def test_a_new_secret_takes_effect_at_once(service):
    token = service.log_in().json()["access_token"]

    service.app.state.SECRET_KEY = "another-secret-of-the-same-good-length!!"

    assert service.me(token).status_code == 401


def test_no_secret_is_in_any_repr(service):
    service.log_in()

    shown = f"{service.auth!r} {service.auth.keyring!r} {service.auth.target!r}"

    assert GOOD not in shown
    assert "<AppAuth app='FastAPI' prefix=''>" in shown


def test_an_app_without_authentication_says_so(service):
    from fastapi import Depends

    bare = FastAPI(title="billing")
    bare.get("/", dependencies=[Depends(jwt_auth)])(lambda: None)

    with pytest.raises(NotMountedError, match=r"'billing'.*mount_auth\(app\)"):
        TestClient(bare).get("/")


def test_mounting_adds_its_own_routes_and_no_other(service):
    paths = set(service.client.get("/openapi.json").json()["paths"])

    assert paths - {"/me", "/maybe", "/users", "/write"} == {
        "/token",
        "/token/revoke",
        "/token/introspect",
        "/.well-known/jwks.json",
    }


def test_a_route_of_the_apps_own_wins_before_and_after(auth_class):
    app = FastAPI()
    app.state.SECRET_KEY = GOOD
    app.get("/.well-known/jwks.json")(lambda: "mine, before")
    auth_class().mount_auth(app)
    app.post("/token")(lambda: "mine, after")
    client = TestClient(app)

    assert client.get("/.well-known/jwks.json").json() == "mine, before"
    assert client.post("/token").json() == "mine, after"
    assert client.post("/token/revoke", data={"token": "x"}).json() == {}


@pytest.mark.parametrize("prefix", ["", "/auth"])
def test_a_route_of_a_router_of_the_apps_own_wins_too(make_service, prefix):
    service = make_service(prefix=prefix)
    router = APIRouter(prefix=prefix)
    router.post("/token")(lambda: "mine")
    service.app.include_router(router)

    assert service.log_in().json() == "mine"
    assert service.client.get("/openapi.json").status_code == 200


def test_two_authentications_need_two_prefixes(service, auth_class):
    with pytest.raises(ValueError, match=r"'/' has an authentication: .* `prefix`"):
        auth_class().mount_auth(service.app)

    auth_class().mount_auth(service.app, prefix="/staff")


def test_a_prefix_moves_everything(make_service):
    service = make_service(prefix="/auth")

    token = service.log_in().json()["access_token"]

    assert service.me(token).status_code == 200
    assert service.client.post("/token").status_code == 404
    document = service.client.get("/openapi.json").json()
    flow = document["components"]["securitySchemes"]["JwtAuth"]["flows"]["password"]
    assert flow["tokenUrl"] == "auth/token"


@pytest.mark.parametrize("root", ["", "/shop"])
@pytest.mark.parametrize("docs", ["/docs", "/internal/docs", None])
def test_the_page_of_the_docs_finds_the_token(auth_class, docs, root):
    app = FastAPI(docs_url=docs)
    app.state.SECRET_KEY = GOOD
    auth_class().mount_auth(app)
    app.get("/me", dependencies=[Depends(jwt_auth)])(lambda: None)

    client = TestClient(app, root_path=root)
    document = client.get(f"{root}/openapi.json").json()

    flow = document["components"]["securitySchemes"]["JwtAuth"]["flows"]["password"]
    page = f"http://testserver{root}{docs or '/docs'}"
    assert urljoin(page, flow["tokenUrl"]) == f"http://testserver{root}/token"


def test_the_document_lists_the_scopes(make_service):
    service = make_service(scopes={"users:write": "Change users"})

    document = service.client.get("/openapi.json").json()

    flow = document["components"]["securitySchemes"]["JwtAuth"]["flows"]["password"]
    assert flow["scopes"] == {"users:read": "", "users:write": "Change users"}
    assert document["paths"]["/users"]["get"]["security"] == [
        {"JwtAuth": ["users:read"]}
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"refresh_grace": 11}, r"`refresh_grace` must be 0 to 10 s: 11"),
        ({"access_ttl": 0}, r"`access_ttl` must be at least 1 s: 0"),
        ({"leeway": -5}, r"`leeway` must not be negative: -5"),
    ],
)
def test_unsafe_options_are_refused_at_mount(auth_class, options, message):
    with pytest.raises(ValueError, match=message):
        auth_class(**options).mount_auth(FastAPI())
