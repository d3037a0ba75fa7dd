"""Fallbacks say that they were used, and take functions as they are."""

from accel_integration import ApiHTTP, EndpointsDeclaration, IntegrationHTTP, sp


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


def test_endpoint_counts_how_often_its_fallback_was_used():
    books = IntegrationHTTP("Books")
    outcomes = iter([ConnectionError(), "fine", ConnectionError()])

    class Books(EndpointsDeclaration):
        integration = books

        @books.endpoint("get", "/books")
        @sp.Fallback("instead")
        def find(api: ApiHTTP) -> str:
            if isinstance(outcome := next(outcomes), Exception):
                raise outcome
            return outcome

    remote = Books("http://host")
    answers = [remote.find() for _ in range(3)]

    assert answers == ["instead", "fine", "instead"]
    assert remote.stats_of(Books.endpoints()["find"]).fallbacks == 2
