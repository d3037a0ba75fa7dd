"""The fast verifier gives PyJWT's verdicts."""

import base64
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings, strategies as st

from accel_auth import InvalidTokenError, Key, Keyring
from accel_auth._base64 import decode, encode
from accel_auth._claims import CLOCK_SKEW, ClaimsPolicy
from accel_auth._verify import MAX_TOKEN_BYTES, Verifier

NOW = 1_800_000_000
SECRET = "a-secret-of-these-tests-that-is-long-enough"
KEYS = {
    "HS256": Key(SECRET, kid="h"),
    "RS256": Key(rsa.generate_private_key(65537, 2048), algorithm="RS256", kid="r"),
    "PS256": Key(rsa.generate_private_key(65537, 2048), algorithm="PS256", kid="p"),
    "ES256": Key(ec.generate_private_key(ec.SECP256R1()), algorithm="ES256", kid="e"),
    "EdDSA": Key(ed25519.Ed25519PrivateKey.generate(), algorithm="EdDSA", kid="d"),
}
# One ring and one verifier for all examples: its memo of headers is under test too.
RING = Keyring(list(KEYS.values()))
POLICY = ClaimsPolicy(issuer="https://us.example", audience=frozenset({"api"}))
VERIFIER = Verifier(RING, POLICY, types=["at+jwt"], clock=lambda: NOW)
GOOD = {
    "sub": "anna",
    "jti": "1",
    "iss": "https://us.example",
    "aud": "api",
    "iat": NOW,
    "exp": NOW + 60,
}


def ours(token):
    try:
        return VERIFIER.verify(token)
    except InvalidTokenError:
        return None


class FrozenPyJWT(jwt.PyJWT):
    """PyJWT with a clock that stands still; everything else is its own."""

    def _validate_claims(self, payload, options, **expected):
        off = {f"verify_{name}": False for name in ("exp", "iat", "nbf")}
        super()._validate_claims(payload, {**options, **off}, **expected)
        for name, leeway in [("iat", CLOCK_SKEW), ("nbf", 0), ("exp", 0)]:
            if name in payload:
                getattr(self, f"_validate_{name}")(payload, NOW, leeway)


def pyjwts(token):
    """Return PyJWT's claims, under the rules that we add to its own."""
    if "=" in token or len(token) > MAX_TOKEN_BYTES:
        return None
    try:
        header = jwt.get_unverified_header(token)
        key = next(k for k in KEYS.values() if k.kid == header.get("kid"))
        if (
            header.get("typ") != "at+jwt"
            or {"crit", "b64", "jku", "jwk"} & header.keys()
        ):
            return None
        claims = FrozenPyJWT().decode(
            token,
            key._public,
            algorithms=[key.algorithm],
            audience="api",
            issuer="https://us.example",
            options={"require": ["exp", "iat", "sub", "jti"]},
        )
    except (jwt.InvalidTokenError, StopIteration, UnicodeError):
        return None
    times = [claims[name] for name in ("exp", "iat", "nbf") if name in claims]
    well_formed = all(type(time) in (int, float) for time in times)
    return claims if well_formed and claims["sub"] and claims["jti"] else None


names = st.sampled_from(list(KEYS))
junk = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
json_values = st.recursive(
    junk,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
)
near_now = st.integers(NOW - 2, NOW + 2) | st.integers(NOW + 8, NOW + 12)
claim_changes = st.dictionaries(
    st.sampled_from(["exp", "iat", "nbf", "aud", "iss", "sub", "jti", "other"]),
    near_now
    | near_now.map(float)
    | json_values
    | st.lists(st.sampled_from(["api", "x"])),
    max_size=3,
)


@settings(max_examples=300, deadline=None)
@given(names, claim_changes, st.sets(st.sampled_from(list(GOOD)), max_size=1))
def test_same_verdict_on_any_claims(name, changes, dropped):
    claims = {k: v for k, v in {**GOOD, **changes}.items() if k not in dropped}
    token = sign(KEYS[name], claims)

    assert same(ours(token), pyjwts(token))


@settings(max_examples=300, deadline=None)
@given(
    names,
    st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jku", "jwk", "cty"]),
        st.sampled_from([*KEYS, "none", "h", "r", "e", "at+jwt", "JWT", None, 5, True]),
        max_size=3,
    ),
)
def test_same_verdict_on_any_header(name, changes):
    key = KEYS[name]
    header = {"alg": name, "kid": key.kid, "typ": "at+jwt", **changes}
    token = sign(key, GOOD, header)

    assert same(ours(token), pyjwts(token))


@settings(max_examples=500, deadline=None)
@given(names, st.data())
def test_same_verdict_on_any_mutation(name, data):
    token = sign(KEYS[name], GOOD)
    at = data.draw(st.integers(0, len(token)))
    cut = data.draw(st.integers(0, 3))
    text = st.text("ABCZaz09-_=.+/ é", max_size=3)
    mutant = token[:at] + data.draw(text) + token[at + cut :]

    assert same(ours(mutant), pyjwts(mutant))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | st.text("ey.JhbGciOi-_", max_size=60))
def test_same_verdict_on_any_text(text):
    assert ours(text) is None
    assert pyjwts(text) is None


def sign(key, claims, header=None):
    head = header or {"alg": key.algorithm, "kid": key.kid, "typ": "at+jwt"}
    parts = [encode(json.dumps(part).encode()) for part in (head, claims)]
    signed = b".".join(parts)
    return (signed + b"." + encode(key.sign(signed))).decode()


def same(one, other):
    """Compare as JSON: NaN equals itself there."""
    return json.dumps(one) == json.dumps(other)


@pytest.mark.parametrize("name", KEYS)
def test_good_tokens_pass_in_both(name):
    token = sign(KEYS[name], GOOD)

    assert ours(token) == pyjwts(token) == GOOD


def test_claims_are_fresh_for_every_call():
    token = sign(KEYS["HS256"], GOOD)

    ours(token)["sub"] = "somebody else"

    assert ours(token)["sub"] == "anna"


@given(st.binary(max_size=40))
def test_base64_round_trip(data):
    text = encode(data)

    assert text == base64.urlsafe_b64encode(data).rstrip(b"=")
    assert decode(text) == data


@settings(max_examples=300)
@given(st.text("AQgwBC-_+/=! \n", max_size=9).map(str.encode))
def test_base64_has_one_spelling_only(text):
    try:
        data = decode(text)
    except ValueError:
        return

    assert encode(data) == text


def test_unknown_headers_do_not_fill_the_memo():
    verifier = Verifier(RING, POLICY, types=["at+jwt"], clock=lambda: NOW)
    good = sign(KEYS["HS256"], GOOD)
    _, payload, signature = good.split(".")

    for number in range(200):
        head = {"alg": "HS256", "kid": "h", "typ": "at+jwt", "n": number}
        forged = encode(json.dumps(head).encode()).decode()
        with pytest.raises(InvalidTokenError):
            verifier.verify(f"{forged}.{payload}.{signature}")
    verifier.verify(good)

    assert len(verifier._heads) == 1
