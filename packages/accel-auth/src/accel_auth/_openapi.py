"""The security scheme in an app's OpenAPI document."""

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
        schemes = document.get("components", {}).get("securitySchemes", {})
        if scheme := schemes.get("JwtAuth"):
            used = dict.fromkeys(_used_scopes(document), "")
            flow = {"tokenUrl": token_url, "scopes": {**used, **scopes}}
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
