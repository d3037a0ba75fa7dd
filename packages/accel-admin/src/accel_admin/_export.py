"""Exports that stay data."""

# The last four are the wide forms of the first, which some programs read alike.
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def harmless(value: object) -> object:
    """Return *value*, with text that a spreadsheet would run made plain text.

    The quote in front is what OWASP recommends against CSV injection.
    """
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA):
        return f"'{value}"
    return value
