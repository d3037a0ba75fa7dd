"""Pages that tell what went wrong."""

from flask import Blueprint, Response, make_response, render_template
from werkzeug.exceptions import HTTPException


def show_problems(blueprint: Blueprint, title: str, home: str) -> None:
    """Answer the HTTP errors of *blueprint* with a page that leads back *home*."""

    def show(exc: HTTPException) -> Response:
        # Never the text of an exception that is not ours: only HTTP errors get here.
        html = render_template(
            "accel_admin/problem.html", title=title, problem=exc, home=home
        )
        return make_response(html, exc.code or 500)

    blueprint.register_error_handler(HTTPException, show)
