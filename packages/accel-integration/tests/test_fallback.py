"""Fallbacks say that they were used, and take functions as they are."""

from accel_integration import sp


def down(*_args):
    raise ConnectionError


def test_listeners_hear_why_a_fallback_was_used():
    fallback, heard = sp.Fallback("instead"), []
    fallback.subscribe(heard.append)

    fallback(down)()

    assert [(type(event).__name__, event.error) for event in heard] == [
        ("FallbackUsed", "ConnectionError")
    ]


def test_builtin_that_does_not_tell_its_parameters_is_called_without_any():
    assert sp.Fallback(dict)(down)("an argument") == {}
