"""Keys, their rotation, and the set that an issuer publishes."""

import json

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from accel_auth import Key, KeyMaterialError, Keyring, WeakSecretError

RSA = rsa.generate_private_key(65537, 2048)
MATERIAL = {
    "HS256": "h" * 32,
    "HS512": b"h" * 64,
    "RS256": RSA,
    "PS512": RSA,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@pytest.mark.parametrize("algorithm", MATERIAL)
def test_every_algorithm_serves_a_login(make_service, algorithm):
    service = make_service(keys=Key(MATERIAL[algorithm], algorithm=algorithm))

    answer = service.log_in().json()

    assert service.me(answer["access_token"]).status_code == 200
    assert service.refresh(answer["refresh_token"]).status_code == 200
    header = jwt.get_unverified_header(answer["access_token"])
    assert (header["alg"], header["typ"]) == (algorithm, "at+jwt")


def test_the_jwks_verifies_a_token_elsewhere(make_service, clock):
    keys = [Key(MATERIAL[name], algorithm=name) for name in ("ES256", "RS256", "EdDSA")]
    clock.now = 4_000_000_000.0
    service = make_service(keys=keys)
    token = service.log_in().json()["access_token"]

    response = service.client.get("/.well-known/jwks.json")

    jwks = jwt.PyJWKSet.from_dict(response.json())
    key = jwks[jwt.get_unverified_header(token)["kid"]]
    options = {"verify_iat": False}
    assert (
        jwt.decode(token, key, algorithms=["ES256"], options=options)["sub"] == "admin"
    )
    assert "max-age" in response.headers["cache-control"]
    private = {"d", "p", "q", "dp", "dq", "qi", "k"}
    assert all(not private & jwk.keys() for jwk in response.json()["keys"])
    assert all(jwk["use"] == "sig" for jwk in response.json()["keys"])


def test_a_secret_is_never_published(service):
    assert service.client.get("/.well-known/jwks.json").json() == {"keys": []}


def test_the_kid_is_the_rfc_7638_thumbprint():
    """The example of RFC 7638, section 3.1."""
    jwk = {
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPF"
        "FxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt"
        "7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qM"
        "QvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-"
        "G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
    }

    key = Key(jwt.PyJWK(jwk, "RS256").key, algorithm="RS256")

    assert key.kid == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert not key.can_sign


def test_rotation_signs_anew_and_accepts_the_old(make_service):
    old, new = Key("o" * 32), Key("n" * 32)
    keyring = Keyring([old])
    service = make_service(keys=keyring)
    before = service.log_in().json()["access_token"]

    keyring.rotate(new)
    after = service.log_in().json()["access_token"]

    assert jwt.get_unverified_header(after)["kid"] == new.kid
    assert [service.me(t).status_code for t in (before, after)] == [200, 200]

    keyring.retire(old.kid)

    assert [service.me(t).status_code for t in (before, after)] == [401, 200]


def test_the_only_key_needs_no_name_in_the_token():
    keyring = Keyring([Key("h" * 32), Key(RSA, algorithm="RS256")])

    assert keyring.find(None, "HS256") is keyring.find(Key("h" * 32).kid, "HS256")
    assert keyring.find(None, "ES256") is None

    keyring.rotate(Key("g" * 32))
    assert keyring.find(None, "HS256") is None


@pytest.mark.parametrize(
    ("material", "algorithm", "message"),
    [
        ("x" * 32, "HS1", r"not supported\. Choose one of HS256, HS384"),
        ("x" * 32, "none", r"not supported"),
        ("x" * 32, "RS256", r"can not be read\. Pass a private or public key"),
        (RSA, "HS256", r"not a string or bytes"),
        (RSA, "ES256", r"can not be read"),
        (
            rsa.generate_private_key(65537, 1024),
            "RS256",
            r"1024 bits\. Use at least 2048",
        ),
        (pem(MATERIAL["ES384"]), "ES256", r"(curve is secp384r1|can not be read)"),
    ],
    ids=str,
)
def test_a_key_that_does_not_fit_is_refused(material, algorithm, message):
    with pytest.raises(KeyMaterialError, match=message):
        Key(material, algorithm=algorithm)


def test_a_ring_needs_something_to_sign_with():
    public = Key(RSA.public_key(), algorithm="RS256")

    with pytest.raises(KeyMaterialError, match=r"nothing to sign with"):
        Keyring([public])
    with pytest.raises(KeyMaterialError, match=r"nothing to sign with"):
        Keyring([])


def test_a_refused_change_leaves_the_ring_as_it_was(make_service):
    key = Key("o" * 32)
    keyring = Keyring([key])
    service = make_service(keys=keyring)
    token = service.log_in().json()["access_token"]

    with pytest.raises(KeyMaterialError, match=r"nothing to sign with"):
        keyring.retire(key.kid)
    with pytest.raises(KeyMaterialError, match=r"nothing to sign with"):
        keyring.rotate(Key(RSA.public_key(), algorithm="RS256"))
    with pytest.raises(KeyMaterialError, match=r"share a name"):
        keyring.rotate(Key("n" * 32, kid=key.kid))

    assert service.me(token).status_code == 200
    assert service.me(service.log_in().json()["access_token"]).status_code == 200


def test_a_strong_ring_takes_no_weak_key(make_service):
    keyring = Keyring([Key("o" * 32)])
    make_service(keys=keyring)

    with pytest.raises(WeakSecretError, match=r"5 bytes long"):
        keyring.rotate(Key("short"))


def test_two_keys_of_one_name_are_refused():
    with pytest.raises(KeyMaterialError, match=r"share a name.*`kid`"):
        Keyring([Key("a" * 32, kid="same"), Key("b" * 32, kid="same")])


def test_a_repr_shows_no_secret():
    shown = repr(
        Keyring([Key("s3cr3t-" * 8), Key(RSA.public_key(), algorithm="RS256")])
    )

    assert "s3cr3t" not in shown
    assert "HS256 signs" in shown
    assert "RS256 verifies" in shown


def test_a_derived_kid_does_not_hold_the_secret():
    one, two = Key("a" * 32), Key("b" * 32)

    assert one.kid == Key("a" * 32).kid != two.kid
    assert len(json.dumps(one.kid)) < 16
