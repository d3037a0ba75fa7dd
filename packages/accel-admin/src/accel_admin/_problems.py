"""Pages that tell what went wrong."""

from flask import Blueprint, Response, make_response, render_template
from werkzeug.exceptions import HTTPException, ServiceUnavailable

from accel_admin._errors import StoreUnavailable


def show_problems(blueprint: Blueprint, title: str, home: str) -> None:
    """Answer the HTTP errors of *blueprint* with a page that leads back *home*."""

    def show(exc: HTTPException) -> Response:
        # Never the text of an exception that is not ours: only HTTP errors get here.
        html = render_template(
            "accel_admin/problem.html", title=title, problem=exc, home=home
        )
        return make_response(html, exc.code or 500)

    def show_store(exc: StoreUnavailable) -> Response:
        return show(ServiceUnavailable(str(exc)))

    blueprint.register_error_handler(HTTPException, show)
    # The store may go away between the look at the session and the login.
    blueprint.register_error_handler(StoreUnavailable, show_store)
