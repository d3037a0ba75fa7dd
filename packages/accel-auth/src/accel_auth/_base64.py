"""Strict base64url."""

import binascii

# "+", "/" and "=" belong to other dialects of base64; "!" belongs to none.
_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")
_FROM_STANDARD = bytes.maketrans(b"+/", b"-_")
_PADDING = (b"", b"!", b"==", b"=")
# The last character of a partial group carries spare bits, which must be zero.
_LAST = (None, b"", b"AQgw", b"AEIMQUYcgkosw048")


def decode(segment: bytes) -> bytes:
    """Decode *segment*, refusing every spelling but the canonical one.

    A lax decoder lets one token be written in many ways, which defeats deny lists
    that compare tokens (RFC 7515, section 2; RFC 4648, section 3.5).

    Raises:
        ValueError: if a character, the length, or the spare bits are wrong.
    """
    rest = len(segment) % 4
    last = _LAST[rest]
    if last is not None and segment[-1:] not in last:
        raise ValueError("not canonical base64url")
    standard = segment.translate(_TO_STANDARD) + _PADDING[rest]
    return binascii.a2b_base64(standard, strict_mode=True)


def encode(data: bytes) -> bytes:
    """Encode *data* without padding."""
    standard = binascii.b2a_base64(data, newline=False)
    return standard.translate(_FROM_STANDARD).rstrip(b"=")
