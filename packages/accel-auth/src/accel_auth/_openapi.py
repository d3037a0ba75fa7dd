"""The security scheme in an app's OpenAPI document."""

import posixpath
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI


def describe_scheme(app: FastAPI, token_url: str, scopes: Mapping[str, str]) -> None:
    """Write where *app* issues tokens, and its scopes, into its OpenAPI document.

    `jwt_auth` is shared by all apps, so what differs between them is filled in here.
    """
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        # FastAPI keeps the document: this may see its own result, and says it again.
        document = generate()
        # Relative to the page that asks for it, as FastAPI's own is: only a request
        # tells the prefix of a proxy, and Swagger resolves an absolute path without it.
        page = posixpath.dirname(app.docs_url or "/")
        schemes = document.get("components", {}).get("securitySchemes", {})
        if scheme := schemes.get("JwtAuth"):
            used = dict.fromkeys(_used_scopes(document), "")
            url = posixpath.relpath(token_url, page)
            flow = {"tokenUrl": url, "scopes": {**used, **scopes}}
            scheme["flows"]["password"].update(flow)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _used_scopes(document: Mapping[str, Any]) -> list[str]:
    operations = [
        operation
        for path in document.get("paths", {}).values()
        for operation in path.values()
        if isinstance(operation, dict)
    ]
    needs = [need for op in operations for need in op.get("security", ())]
    return sorted({scope for need in needs for scope in need.get("JwtAuth", ())})
