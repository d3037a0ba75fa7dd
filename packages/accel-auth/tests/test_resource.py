"""Tokens of an external issuer, judged by keys that come over TLS."""

import asyncio
import datetime as dt
import hmac
import http.server
import ipaddress
import json
import ssl
import threading
from typing import Annotated

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from accel_auth import (
    AuthUnavailableError,
    InsecureIssuerError,
    InvalidTokenError,
    Key,
    ResourceServer,
    jwt_auth,
)

ISSUER = "https://idp.example"
RSA = rsa.generate_private_key(65537, 2048)
KEY = Key(RSA, algorithm="RS256")
OTHER = Key(ec.generate_private_key(ec.SECP256R1()), algorithm="ES256")


class Issuer:
    """What an issuer publishes, and how often it was asked."""

    def __init__(self, *keys):
        self.keys = [key.to_jwk() for key in keys]
        self.asked = 0
        self.down = False

    async def fetch(self, url):
        self.asked += 1
        await asyncio.sleep(0)
        if self.down:
            raise OSError("no route to host")
        return json.dumps({"keys": self.keys}).encode()


@pytest.fixture
def issuer():
    return Issuer(KEY)


@pytest.fixture
def server(issuer, clock):
    return make_server(issuer, clock)


def make_server(issuer, clock, **options):
    return ResourceServer(
        ISSUER,
        audience="api",
        jwks_url=f"{ISSUER}/jwks",
        fetch=issuer.fetch,
        clock=clock,
        monotonic=clock,
        **options,
    )


def token(clock, key=KEY, headers=None, **claims):
    now = int(clock())
    body = {"iss": ISSUER, "aud": "api", "sub": "anna", "iat": now, "exp": now + 60}
    head = {"kid": key.kid, "typ": "at+jwt", **(headers or {})}
    return jwt.encode({**body, **claims}, key._private, key.algorithm, headers=head)


@pytest.mark.anyio
async def test_a_good_token_passes_with_one_fetch(server, issuer, clock):
    answers = await asyncio.gather(
        *(server.authenticate(token(clock)) for _ in range(20))
    )

    assert {claims["sub"] for claims in answers} == {"anna"}
    assert issuer.asked == 1


@pytest.mark.anyio
@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "other"},
        {"exp": 0},
        {"sub": ""},
        {"iat": 4_000_000_000},
    ],
    ids=str,
)
async def test_wrong_claims_are_refused(server, clock, claims):
    with pytest.raises(InvalidTokenError):
        await server.authenticate(token(clock, **claims))


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["jku", "x5u", "jwk"])
async def test_a_token_can_not_bring_its_key(server, issuer, clock, name):
    forged = token(clock, headers={name: "https://evil.example"})

    with pytest.raises(InvalidTokenError):
        await server.authenticate(forged)
    assert issuer.asked == 0


@pytest.mark.anyio
@pytest.mark.parametrize(
    "junk",
    ["", "a.b.c", "\u00e9", "x" * 9000, "e30.e30."],
    ids=["empty", "parts", "accent", "long", "no header"],
)
async def test_junk_is_refused_without_asking_anybody(server, issuer, junk):
    with pytest.raises(InvalidTokenError):
        await server.authenticate(junk)
    assert issuer.asked == 0


@pytest.mark.anyio
async def test_a_public_key_is_no_secret(server, clock):
    pem = RSA.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _, payload, _ = token(clock).split(".")
    head = jwt.utils.base64url_encode(
        json.dumps({"alg": "HS256", "kid": KEY.kid, "typ": "at+jwt"}).encode()
    )
    signed = head + b"." + payload.encode()
    signature = jwt.utils.base64url_encode(hmac.digest(pem, signed, "sha256"))

    with pytest.raises(InvalidTokenError):
        await server.authenticate((signed + b"." + signature).decode())


@pytest.mark.anyio
async def test_a_flood_of_unknown_keys_costs_one_fetch_per_cooldown(
    server, issuer, clock
):
    async def flood():
        for number in range(50):
            forged = token(clock, headers={"kid": f"unknown{number}"})
            with pytest.raises(InvalidTokenError):
                await server.authenticate(forged)

    await flood()
    assert issuer.asked == 1

    clock.advance(30)
    await asyncio.gather(flood(), flood())
    assert issuer.asked == 2


@pytest.mark.anyio
async def test_a_new_key_of_the_issuer_is_found(server, issuer, clock):
    await server.authenticate(token(clock))
    issuer.keys.append(OTHER.to_jwk())
    clock.advance(30)

    claims = await server.authenticate(token(clock, OTHER))

    assert claims["sub"] == "anna"
    assert issuer.asked == 2


@pytest.mark.anyio
async def test_a_key_that_the_issuer_withdrew_dies(server, issuer, clock):
    await server.authenticate(token(clock))
    issuer.keys = [OTHER.to_jwk()]
    clock.advance(601)
    await server.authenticate(token(clock))
    # The turns that the refresh in the background takes, however long each is.
    for _ in range(50):
        await asyncio.sleep(0)

    with pytest.raises(InvalidTokenError):
        await server.authenticate(token(clock))


@pytest.mark.anyio
async def test_stale_keys_serve_while_the_issuer_is_down(server, issuer, clock):
    await server.authenticate(token(clock))
    issuer.down = True

    clock.advance(4200)
    claims = await server.authenticate(token(clock))
    assert claims["sub"] == "anna"

    clock.advance(1)
    with pytest.raises(AuthUnavailableError) as caught:
        await server.authenticate(token(clock))
    assert (caught.value.http_status, caught.value.retry_after) == (503, 30.0)


@pytest.mark.anyio
async def test_a_failed_fetch_is_logged_with_its_kind_and_no_credentials(
    issuer, clock, caplog
):
    issuer.down = True
    url = "https://me:hunter2@idp.example/jwks?key=hunter2"
    server = ResourceServer(
        ISSUER, audience="api", jwks_url=url, fetch=issuer.fetch, monotonic=clock
    )

    with pytest.raises(AuthUnavailableError):
        await server.authenticate(token(clock))

    assert "from idp.example: OSError." in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.anyio
async def test_an_issuer_that_never_answered_is_asked_once_per_cooldown(
    server, issuer, clock
):
    issuer.down = True

    for _ in range(10):
        with pytest.raises(AuthUnavailableError):
            await server.authenticate(token(clock))

    assert issuer.asked == 1


@pytest.mark.anyio
async def test_a_cancelled_caller_does_not_take_the_fetch_along(server, issuer, clock):
    first = asyncio.create_task(server.authenticate(token(clock)))
    second = asyncio.create_task(server.authenticate(token(clock)))
    await asyncio.sleep(0)

    first.cancel()

    assert (await second)["sub"] == "anna"
    assert issuer.asked == 1
    assert first.cancelled()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "keys",
    [
        [{"kty": "oct", "k": "c2VjcmV0", "kid": KEY.kid, "alg": "HS256"}],
        [{**KEY.to_jwk(), "use": "enc"}],
        [{**KEY.to_jwk(), "alg": "RS512"}],
        [{**KEY.to_jwk(), "n": "AQAB"}],
        [{**KEY.to_jwk(), "n": "!!"}],
        [5, None, {}],
    ],
    ids=["secret", "encryption", "other algorithm", "short", "broken", "junk"],
)
async def test_unusable_keys_are_passed_over(issuer, clock, keys):
    issuer.keys = keys
    server = make_server(issuer, clock)

    with pytest.raises(InvalidTokenError):
        await server.authenticate(token(clock))


@pytest.mark.anyio
async def test_a_key_without_a_name_or_an_algorithm_serves(issuer, clock):
    jwk = KEY.to_jwk()
    issuer.keys = [{name: jwk[name] for name in ("kty", "n", "e")}]
    server = make_server(issuer, clock)
    now = int(clock())
    body = {"iss": ISSUER, "aud": ["api"], "sub": "x", "iat": now, "exp": now + 60}
    unnamed = jwt.encode(body, RSA, "PS256", headers={"typ": "at+jwt"})

    assert (await server.authenticate(unnamed))["sub"] == "x"


def test_plain_http_is_refused():
    with pytest.raises(InsecureIssuerError, match=r"https.*'http://idp\.example/jwks'"):
        ResourceServer(ISSUER, audience="api", jwks_url="http://idp.example/jwks")


def test_a_symmetric_algorithm_is_refused():
    with pytest.raises(ValueError, match=r"must be asymmetric: \['HS256'\]"):
        ResourceServer(
            ISSUER, audience="api", jwks_url=f"{ISSUER}/jwks", algorithms=["HS256"]
        )


@pytest.mark.parametrize("audience", ["", [], [""]])
def test_a_server_without_an_audience_is_refused(audience):
    with pytest.raises(ValueError, match=r"`audience` must name this service"):
        ResourceServer(ISSUER, audience=audience, jwks_url=f"{ISSUER}/jwks")


@pytest.mark.anyio
async def test_one_name_needs_no_list(issuer, clock):
    one = {"types": "JWT", "algorithms": KEY.algorithm, "required": "email"}
    server = make_server(issuer, clock, **one)
    good = token(clock, headers={"typ": "JWT"}, email="anna@example.com")

    assert (await server.authenticate(good))["sub"] == "anna"
    with pytest.raises(InvalidTokenError):
        await server.authenticate(token(clock, headers={"typ": "JWT"}))


def test_jwt_auth_serves_an_app_whose_issuer_is_elsewhere(server, clock):
    app = FastAPI()
    server.mount_auth(app)

    @app.get("/me")
    async def me(claims: Annotated[dict, Depends(jwt_auth)]):
        return claims["sub"]

    client = TestClient(app)

    headers = {"Authorization": f"Bearer {token(clock)}"}
    assert client.get("/me", headers=headers).json() == "anna"
    assert client.get("/me").status_code == 401
    assert client.post("/token").status_code == 404


def test_the_first_mounted_is_the_one_that_jwt_auth_asks(service, server, clock):
    server.mount_auth(service.app)

    assert service.me(token(clock)).status_code == 401
    assert service.me(service.log_in().json()["access_token"]).status_code == 200


def test_both_issuers_on_one_app(service, server, clock):
    @service.app.get("/partner")
    async def partner(claims: Annotated[dict, Depends(server.jwt_auth)]):
        return claims["sub"]

    ours, theirs = service.log_in().json()["access_token"], token(clock)

    assert service.me(theirs, "/partner").json() == "anna"
    assert service.me(ours, "/partner").status_code == 401
    assert service.me(theirs).status_code == 401
    assert service.me(ours).status_code == 200


@pytest.mark.anyio
async def test_scopes_of_other_dialects_count(issuer, clock):
    from accel_auth._claims import scopes_of

    assert scopes_of({"scp": ["a", "b"]}) == scopes_of({"scope": "a b"}) == {"a", "b"}
    assert scopes_of({"scope": 5}) == set()


class Jwks(http.server.BaseHTTPRequestHandler):
    """Answers by path: the keys, a redirect to them, or far too much."""

    def do_GET(self):
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("location", "/jwks")
            self.end_headers()
            return
        size = 2_000_000 if self.path == "/large" else 0
        body = json.dumps({"keys": [KEY.to_jwk()], "pad": "x" * size}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """Serve the keys over TLS, with a certificate that only our context trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    pem.write_bytes(private + public)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Jwks) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        trust = ssl.create_default_context(cadata=public.decode())
        yield f"https://127.0.0.1:{server.server_address[1]}", trust
        server.shutdown()
        thread.join()


@pytest.mark.anyio
async def test_keys_come_over_a_real_tls_line(tls, clock):
    url, trust = tls
    server = ResourceServer(
        ISSUER, audience="api", jwks_url=f"{url}/jwks", ssl_context=trust, clock=clock
    )

    claims = await server.authenticate(token(clock))

    assert claims["sub"] == "anna"


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/moved", "/large"])
async def test_redirects_and_giant_answers_are_refused(tls, clock, path):
    url, trust = tls
    server = ResourceServer(
        ISSUER, audience="api", jwks_url=url + path, ssl_context=trust, clock=clock
    )

    with pytest.raises(AuthUnavailableError):
        await server.authenticate(token(clock))


@pytest.mark.anyio
async def test_a_certificate_that_nobody_trusts_is_refused(tls, clock):
    url, _ = tls
    server = ResourceServer(ISSUER, audience="api", jwks_url=f"{url}/jwks", clock=clock)

    with pytest.raises(AuthUnavailableError):
        await server.authenticate(token(clock))
