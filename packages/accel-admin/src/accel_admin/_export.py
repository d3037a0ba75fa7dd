"""Exports that stay data."""

from accel_admin._labels import encodable

# The last four are the wide forms of the first, which some programs read alike.
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def harmless(value: object) -> object:
    """Return *value*, with text that a spreadsheet would run made plain text.

    What cannot be written is escaped, so that it does not cut the file off.

    The quote in front is what OWASP recommends against CSV injection.
    """
    if not isinstance(value, str):
        return value
    text = encodable(value)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
