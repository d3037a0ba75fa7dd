"""Hostile tokens: every line of the attack list is refused with 401."""

import base64
import hashlib
import hmac
import json

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from accel_auth import Key

RSA = rsa.generate_private_key(65537, 2048)
PUBLIC_PEM = RSA.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
SECRET = "a-secret-of-these-tests-that-is-long-enough"


def b64(data):
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forge(header, payload, secret=b"a-secret-of-these-tests-that-is-long-enough"):
    """Sign with HMAC by hand, whatever the header says."""
    signed = f"{b64(header)}.{b64(payload)}"
    return f"{signed}.{b64(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


@pytest.fixture
def kid(service):
    return service.auth.keyring._keys[0].kid


@pytest.fixture
def claims(service):
    return service.auth.access_claims("admin", {})


@pytest.fixture
def header(kid):
    return {"alg": "HS256", "kid": kid, "typ": "at+jwt"}


def assert_refused(service, token):
    response = service.me(token)

    assert response.status_code == 401
    challenge = response.headers["www-authenticate"]
    assert challenge.startswith('Bearer realm="api", error="invalid_token"')
    assert response.json()["detail"].startswith("The token ")


def test_the_forge_makes_good_tokens(service, header, claims):
    assert service.me(forge(header, claims)).json() == claims


@pytest.mark.parametrize("alg", ["none", "NONE", "", None, 5, ["HS256"]], ids=repr)
def test_alg_none(service, header, claims, alg):
    signed = f"{b64({**header, 'alg': alg})}.{b64(claims)}"

    assert_refused(service, f"{signed}.")
    assert_refused(service, forge({**header, "alg": alg}, claims))


def test_an_algorithm_that_the_key_does_not_serve(service, header, claims):
    assert_refused(service, forge({**header, "alg": "HS384"}, claims))
    assert_refused(service, forge({**header, "alg": "RS256"}, claims))


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("as_jwk", [True, False])
def test_hs_rs_confusion(make_service, named, as_jwk):
    key = Key(RSA, algorithm="RS256")
    service = make_service(keys=[key])
    claims = service.auth.access_claims("admin", {})
    public = json.dumps(key.to_jwk()).encode() if as_jwk else PUBLIC_PEM
    header = {"alg": "HS256", "typ": "at+jwt"} | ({"kid": key.kid} if named else {})

    assert_refused(service, forge(header, claims, public))
    assert service.me(service.auth.sign(claims)).status_code == 200


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../dev/null",
        "' UNION SELECT 'secret' --",
        "\0",
        "",
        5,
        {"$ne": None},
        ["a"],
        "k" * 5000,
    ],
    ids=lambda kid: repr(kid)[:20],
)
@pytest.mark.parametrize("secret", ["", "secret", SECRET])
def test_kid_traversal_and_injection(service, header, claims, kid, secret):
    assert_refused(service, forge({**header, "kid": kid}, claims, secret.encode()))


@pytest.mark.parametrize("name", ["jku", "jwk", "x5u", "x5c", "crit", "b64", "zip"])
def test_headers_that_bring_a_key_or_change_the_rules(service, header, claims, name):
    values = {
        "jwk": Key(RSA, algorithm="RS256").to_jwk(),
        "crit": ["exp"],
        "b64": False,
    }
    value = values.get(name, "https://evil.example/keys.json")

    assert_refused(service, forge({**header, name: value}, claims))


@pytest.mark.parametrize(
    "typ", [None, "JWT", "refresh+jwt", "id+jwt", 5, "at+jwt "], ids=repr
)
def test_wrong_type(service, header, claims, typ):
    assert_refused(service, forge({**header, "typ": typ}, claims))


@pytest.mark.parametrize("typ", ["AT+JWT", "application/at+jwt"])
def test_other_spellings_of_the_right_type(service, header, claims, typ):
    assert service.me(forge({**header, "typ": typ}, claims)).status_code == 200


@pytest.mark.parametrize("name", ["exp", "iat", "sub", "jti"])
def test_claims_that_must_be_there(service, header, claims, name):
    del claims[name]

    assert_refused(service, forge(header, claims))


@pytest.mark.parametrize("name", ["exp", "iat", "sub", "jti"])
@pytest.mark.parametrize("value", [None, "", True, [], {}], ids=repr)
def test_claims_of_the_wrong_shape(service, header, claims, name, value):
    assert_refused(service, forge(header, {**claims, name: value}))


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
def test_a_time_as_text(service, header, claims, name):
    assert_refused(service, forge(header, {**claims, name: str(claims["iat"])}))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, -(10**30)], ids=repr)
def test_times_out_of_this_world(service, header, claims, value):
    assert_refused(service, forge(header, {**claims, "exp": value}))


def test_expired_to_the_second(service, clock, header, claims):
    token = forge(header, claims)

    clock.advance(1799)
    assert service.me(token).status_code == 200
    clock.advance(1)
    response = service.me(token)

    assert response.status_code == 401
    assert "expired" in response.headers["www-authenticate"]


@pytest.mark.parametrize("ahead", [{"iat": 11}, {"nbf": 1}], ids=str)
def test_from_the_future(service, clock, header, claims, ahead):
    dates = {name: int(clock()) + seconds for name, seconds in ahead.items()}

    assert_refused(service, forge(header, {**claims, **dates}))


def test_fresh_from_a_worker_whose_clock_is_ahead(service, clock, header, claims):
    token = forge(header, {**claims, "iat": int(clock()) + 10})

    assert service.me(token).status_code == 200


def test_leeway_reaches_both_ways(make_service, clock, header, claims):
    service = make_service(leeway=5)
    now = int(clock())

    for name, good, bad in [("exp", now - 4, now - 5), ("nbf", now + 5, now + 6)]:
        assert service.me(forge(header, {**claims, name: good})).status_code == 200
        assert_refused(service, forge(header, {**claims, name: bad}))


@pytest.mark.parametrize(
    "iss", ["absent", "https://evil.example", "https://us.example/", 5]
)
def test_wrong_issuer(make_service, header, claims, iss):
    service = make_service(issuer="https://us.example")
    assert service.me(forge(header, {**claims, "iss": "https://us.example"})).is_success

    wrong = claims if iss == "absent" else {**claims, "iss": iss}

    assert_refused(service, forge(header, wrong))


@pytest.mark.parametrize(
    "aud", ["absent", "other", ["other"], [], [5, "api"], {"api": 1}]
)
def test_wrong_audience(make_service, header, claims, aud):
    service = make_service(audience=["api", "web"])
    assert service.me(forge(header, {**claims, "aud": ["x", "web"]})).is_success

    wrong = claims if aud == "absent" else {**claims, "aud": aud}

    assert_refused(service, forge(header, wrong))


def test_an_audience_where_none_is_expected(service, header, claims):
    assert_refused(service, forge(header, {**claims, "aud": "another service"}))


def test_a_claim_that_the_service_requires(make_service, header, claims):
    service = make_service(required="tenant")

    assert_refused(service, forge(header, claims))
    assert service.me(forge(header, {**claims, "tenant": "t"})).is_success


def test_a_refresh_token_is_no_access_token(service):
    assert_refused(service, service.log_in().json()["refresh_token"])


@pytest.mark.parametrize("part", [0, 1, 2])
def test_tampered(service, part):
    token = service.log_in().json()["access_token"]
    parts = token.split(".")
    flipped = "A" if parts[part][10] != "A" else "B"
    parts[part] = parts[part][:10] + flipped + parts[part][11:]

    assert_refused(service, ".".join(parts))


def test_a_claim_changed_under_an_old_signature(service, claims):
    head, _, signature = service.auth.sign(claims).split(".")

    assert_refused(service, f"{head}.{b64({**claims, 'sub': 'root'})}.{signature}")


def non_canonical(segment):
    """Set a spare bit of the last character: lax decoders see the same bytes."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return segment[:-1] + alphabet[alphabet.index(segment[-1]) + 1]


def test_non_canonical_base64(service, claims):
    token = service.auth.sign(claims)
    other = non_canonical(token)
    lax = base64.urlsafe_b64decode
    assert lax(token.split(".")[2] + "=") == lax(other.split(".")[2] + "=")

    assert_refused(service, other)


@pytest.mark.parametrize(
    "suffix", ["=", "\n", " x", ".", "+", "/", "\u00e9", "\0"], ids=ascii
)
def test_other_dialects_of_base64(service, claims, suffix):
    token = service.auth.sign(claims)

    assert_refused(service, token.encode() + suffix.encode())


def test_the_padded_spelling_that_some_issuers_write(service, claims):
    token = service.auth.sign(claims)
    padding = "=" * (-len(token.split(".")[2]) % 4)
    assert padding

    assert_refused(service, token + padding)


def test_over_eight_kilobytes_whatever_it_holds(service, header, claims):
    fits = forge(header, {**claims, "pad": "x" * 5500})
    large = forge(header, {**claims, "pad": "x" * 6500})
    assert len(fits) < 8192 < len(large)

    assert service.me(fits).status_code == 200
    assert_refused(service, large)
    assert_refused(service, "A" * 60_000)


def test_deep_json_before_and_after_the_signature(service, header, claims):
    deep = ("[" * 2900 + "]" * 2900).encode()

    assert_refused(service, f"{b64(deep)}.{b64(claims)}.AAAA")
    assert_refused(service, forge(header, deep))


@pytest.mark.parametrize(
    "payload", [b"[]", b"5", b"null", b"{", b"\xff\xfe", b""], ids=repr
)
def test_a_payload_that_is_no_object(service, header, payload):
    assert_refused(service, forge(header, payload))


@pytest.mark.parametrize(
    "token", ["", ".", "..", "...", "a.b.c.d", "a", "Bearer"], ids=repr
)
def test_what_is_no_token_at_all(service, token):
    response = service.me(token)

    assert response.status_code == 401


def test_another_apps_token(make_service):
    ours, theirs = make_service(), make_service(secret="another-" + SECRET)
    token = theirs.log_in().json()["access_token"]
    assert theirs.me(token).status_code == 200

    assert_refused(ours, token)
    assert theirs.me(ours.log_in().json()["access_token"]).status_code == 401


def test_a_key_of_the_same_kind_that_is_not_ours(make_service):
    for key, stranger in [
        (Key(RSA, algorithm="RS256"), rsa.generate_private_key(65537, 2048)),
        (
            Key(ec.generate_private_key(ec.SECP256R1()), algorithm="ES256"),
            ec.generate_private_key(ec.SECP256R1()),
        ),
        (
            Key(ed25519.Ed25519PrivateKey.generate(), algorithm="EdDSA"),
            ed25519.Ed25519PrivateKey.generate(),
        ),
    ]:
        service = make_service(keys=[key])
        claims = service.auth.access_claims("admin", {})
        headers = {"kid": key.kid, "typ": "at+jwt"}
        forged = jwt.encode(claims, stranger, key.algorithm, headers=headers)

        assert_refused(service, forged)


def test_add_jwt_body_can_not_override_a_registered_claim(
    make_service, auth_class, caplog
):
    class Careless(auth_class):
        async def add_jwt_body(self, username):
            return {"sub": "root", "exp": 9999999999, "iss": "me", "sid": "x", "ok": 1}

    service = make_service(Careless())

    token = service.log_in().json()["access_token"]

    claims = service.auth.verify(token)
    assert claims["sub"] == "admin"
    assert claims["exp"] - claims["iat"] == 1800
    assert claims["ok"] == 1
    assert "iss" not in claims
    assert "can not set exp, iss, sid, sub" in caplog.text


def test_the_reason_goes_to_the_log_and_not_to_the_client(service, header, claims):
    seen = []
    service.auth.subscribe(seen.append)

    response = service.me(forge({**header, "kid": "other"}, claims))

    assert "kid" not in response.text
    assert [(e.name, e.reason) for e in seen] == [("token_rejected", "unknown key")]
