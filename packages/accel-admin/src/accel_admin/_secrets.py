"""Columns that nobody should see."""

import re

# Whole words of a name in snake case, so that `monkey` and `tokens_used_at` are shown.
_SECRET = re.compile(
    r"(?:^|_)(?:password|passwd|passphrase|passcode|pwd|hash|hashed|salt|secret|token|"
    r"otp|totp|pin|cvv|credential|credentials|apikey|(?:api|private|secret|access|"
    r"signing|encryption)_key)(?:$|_(?:hash|hashed|digest|salt|value|enc|encrypted)$)|"
    r"(?:^|_)(?:password|secret|hashed|passwd)(?:_|$)",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def looks_secret(name: str) -> bool:
    """Tell whether a column called *name* holds something like a password."""
    return _SECRET.search(_CAMEL.sub("_", name)) is not None
