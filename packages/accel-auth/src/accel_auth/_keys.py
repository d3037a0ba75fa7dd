"""Keys that sign and verify."""

import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from typing import Any

import jwt

from accel_auth import _base64
from accel_auth._claims import Claims
from accel_auth._errors import KeyMaterialError, MissingExtraError, WeakSecretError
from accel_auth._verify import VerifyingKey

# RFC 7518, section 3.2: a secret is at least as long as the hash.
_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
# RFC 7518, section 3.4: each of these has one curve.
CURVES = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
ALGORITHMS = (*_SECRET_BYTES, *_RSA, *CURVES, "EdDSA")
MIN_RSA_BITS = 2048
_LOOKS_PUBLIC = re.compile(rb'-----BEGIN |^(ssh-|ecdsa-)|^\s*\{.*"kty"', re.DOTALL)
# RFC 7638, section 3.2: what identifies a key.
_THUMBPRINT = {"RSA": "e kty n", "EC": "crv kty x y", "OKP": "crv kty x"}


class Key:
    """A key for one algorithm: a secret, or a private or public key as PEM or object.

    Args:
        material: A secret for HS256, HS384 and HS512; else a key of `cryptography`
            or its PEM text (extra `crypto`). A public key only verifies.
        algorithm: One of `ALGORITHMS`; a key never serves two.
        kid: The name in token headers; by default derived from the key itself.

    Raises:
        KeyMaterialError: if the key does not fit the algorithm.
    """

    def __init__(
        self, material: Any, *, algorithm: str = "HS256", kid: str | None = None
    ) -> None:
        if algorithm not in ALGORITHMS:
            cure = f"Choose one of {', '.join(ALGORITHMS)}."
            raise KeyMaterialError(algorithm, "the algorithm is not supported", cure)
        self.algorithm = algorithm
        self.symmetric = algorithm in _SECRET_BYTES
        if self.symmetric:
            self._private = self._public = _secret(material, algorithm)
        else:
            self._private, self._public = _pair(material, algorithm)
        self.kid = kid or self._derive_kid()

    def __repr__(self) -> str:
        use = "signs" if self.can_sign else "verifies"
        return f"<Key kid={self.kid!r} algorithm={self.algorithm} {use}>"

    @property
    def can_sign(self) -> bool:
        """Tell whether the private half is here."""
        return self._private is not None

    def check_strength(self) -> None:
        """Refuse a secret that can be guessed from one token.

        Raises:
            WeakSecretError: if it is shorter than the algorithm's hash.
        """
        minimum = _SECRET_BYTES.get(self.algorithm, 0)
        if self.symmetric and len(self._public) < minimum:
            raise WeakSecretError(len(self._public), minimum, self.algorithm)

    def sign(self, data: bytes) -> bytes:
        """Return the signature of *data*."""
        return jwt.get_algorithm_by_name(self.algorithm).sign(data, self._private)

    def verifying(self) -> VerifyingKey:
        """Return the half that verifies."""
        return VerifyingKey(jwt.get_algorithm_by_name(self.algorithm), self._public)

    def to_jwk(self) -> dict[str, Any] | None:
        """Return the public half as a JWK (RFC 7517); a secret has none."""
        if self.symmetric:
            return None
        return {**self._public_jwk(), "kid": self.kid, "alg": self.algorithm}

    def _public_jwk(self) -> dict[str, Any]:
        algorithm = jwt.get_algorithm_by_name(self.algorithm)
        jwk: dict[str, Any] = dict(algorithm.to_jwk(self._public, as_dict=True))
        jwk.pop("key_ops", None)  # not beside `use` (RFC 7517, section 4.3)
        return {**jwk, "use": "sig"}

    def _derive_kid(self) -> str:
        if self.symmetric:
            # Keyed by the secret: it says no more than the signature of a token does.
            digest = hmac.digest(self._public, b"accel-auth kid", "sha256")
            return _base64.encode(digest[:8]).decode()
        jwk = self._public_jwk()
        identity = {name: jwk[name] for name in _THUMBPRINT[jwk["kty"]].split()}
        text = json.dumps(identity, separators=(",", ":"), sort_keys=True)
        return _base64.encode(hashlib.sha256(text.encode()).digest()).decode()


def _secret(material: Any, algorithm: str) -> bytes:
    secret = material.encode() if isinstance(material, str) else material
    if not isinstance(secret, bytes):
        cure = (
            'Pass `algorithm="RS256"`, "ES256" or "EdDSA" with a key object, '
            "and `secret.get_secret_value()` of a SecretStr."
        )
        raise KeyMaterialError(algorithm, "it is not a string or bytes", cure)
    if _LOOKS_PUBLIC.search(secret) or not _is_plain(secret, algorithm):
        # Whoever knows the public half could sign with it (RFC 8725, section 2.1).
        cure = 'Pass `Key(pem, algorithm="RS256")`, or a random secret.'
        raise KeyMaterialError(algorithm, "it is a PEM, DER, SSH or JWK key", cure)
    return secret


def _is_plain(secret: bytes, algorithm: str) -> bool:
    """Ask PyJWT, which knows more encodings of keys with the extra `crypto`."""
    # PyJWT refuses an empty secret itself, but debug mode may start with one.
    try:
        jwt.get_algorithm_by_name(algorithm).prepare_key(secret or b"empty")
    except jwt.InvalidKeyError:
        return False
    return True


def _pair(material: Any, algorithm: str) -> tuple[Any, Any]:
    try:
        prepared: Any = jwt.get_algorithm_by_name(algorithm).prepare_key(material)
    except NotImplementedError as exc:
        raise MissingExtraError(f"The algorithm {algorithm}", "crypto") from exc
    except (ValueError, TypeError, jwt.InvalidKeyError) as exc:
        cure = "Pass a private or public key of its family, as PEM text or object."
        raise KeyMaterialError(algorithm, "it can not be read", cure) from exc
    # In `cryptography`, a private key has this method and a public one does not.
    private = prepared if hasattr(prepared, "public_key") else None
    public = prepared.public_key() if private else prepared
    _check_public(public, algorithm)
    return private, public


def _check_public(public: Any, algorithm: str) -> None:
    if algorithm in _RSA and public.key_size < MIN_RSA_BITS:
        why = f"it has {public.key_size} bits"
        raise KeyMaterialError(algorithm, why, f"Use at least {MIN_RSA_BITS}.")
    if algorithm in CURVES and public.curve.name != CURVES[algorithm]:
        why = f"its curve is {public.curve.name}"
        raise KeyMaterialError(algorithm, why, f"Use {CURVES[algorithm]}.")


class Keyring:
    """The keys of an issuer: the first signs, all verify.

    To rotate, put the new key first and keep the old one until its last token expired.
    """

    def __init__(self, keys: Sequence[Key | str | bytes]) -> None:
        self.generation = 0
        self._strong = False
        self._use(tuple(k if isinstance(k, Key) else Key(k) for k in keys))

    def __repr__(self) -> str:
        return f"<Keyring {', '.join(map(repr, self._keys))}>"

    def rotate(self, key: Key) -> None:
        """Sign with *key* from now on; the earlier keys go on verifying.

        Raises:
            KeyMaterialError: if it can not sign, or has the name of another key.
            WeakSecretError: if it can be guessed, in a ring that was found strong.
        """
        if self._strong:
            key.check_strength()
        self._use((key, *self._keys))

    def retire(self, kid: str) -> None:
        """Forget the key *kid*: its tokens are refused from now on.

        Raises:
            KeyMaterialError: if no key would be left that signs; rotate first.
        """
        self._use(tuple(key for key in self._keys if key.kid != kid))

    def check_strength(self) -> None:
        """Refuse every weak secret.

        Raises:
            WeakSecretError: on the first one.
        """
        for key in self._keys:
            key.check_strength()
        self._strong = True

    def sign(self, claims: Claims, typ: str) -> str:
        """Return *claims* as a signed token of the type *typ*."""
        payload = json.dumps(claims, separators=(",", ":")).encode()
        signed = self._head(typ) + b"." + _base64.encode(payload)
        signature = _base64.encode(self._keys[0].sign(signed))
        return (signed + b"." + signature).decode()

    def find(self, kid: str | None, algorithm: str) -> VerifyingKey | None:
        """Return the key *kid*; without a name, the only one of its algorithm."""
        if kid is not None:
            return self._named.get((kid, algorithm))
        # With several it would be trial and error, and each try costs a signature.
        fitting = [key for (_, alg), key in self._named.items() if alg == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """Return the public keys as a JWK set; secrets are never in it."""
        return {"keys": [jwk for key in self._keys if (jwk := key.to_jwk())]}

    def _head(self, typ: str) -> bytes:
        # The same bytes for every token of a key, which lets a verifier know them again.
        if typ not in self._heads:
            signer = self._keys[0]
            head = {"alg": signer.algorithm, "kid": signer.kid, "typ": typ}
            text = json.dumps(head, separators=(",", ":"))
            self._heads[typ] = _base64.encode(text.encode())
        return self._heads[typ]

    def _use(self, keys: tuple[Key, ...]) -> None:
        """Take *keys*, all or none: a refused rotation leaves a ring that works."""
        if not keys or not keys[0].can_sign:
            algorithm = keys[0].algorithm if keys else "any algorithm"
            cure = "Put a private key or a secret first: it signs."
            raise KeyMaterialError(algorithm, "there is nothing to sign with", cure)
        named = {(k.kid, k.algorithm): k.verifying() for k in keys}
        if len(named) < len(keys):
            cure = "Give each a `kid` of its own."
            raise KeyMaterialError("a keyring", "two keys share a name", cure)
        self._keys, self._named = keys, named
        self._heads: dict[str, bytes] = {}
        self.generation += 1
