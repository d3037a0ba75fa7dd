"""Integrations as OpenAPI documents."""

import math
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

from pydantic import PydanticUserError, TypeAdapter

from accel_integration._alternatives import adapter_for
from accel_integration._api import PLACEHOLDER
from accel_integration._describe import Entry
from accel_integration._endpoint import Endpoint
from accel_integration._masking import is_secret_name

__all__ = ["Schemas", "openapi_of", "schemas_of"]

REF = "#/components/schemas/{model}"


class Schemas:
    """JSON schemas of everything that endpoints take and give."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._keys: dict[Any, str] = {}
        adapters: list[tuple[str, Any, TypeAdapter[Any]]] = []
        for endpoint in endpoints:
            for hint in hints_of(endpoint):
                self._add(hint, adapters)
        schemas, shared = TypeAdapter.json_schemas(adapters, ref_template=REF)
        self._schemas: dict[str, dict[str, Any]] = {
            key: finite(schema) for (key, _), schema in schemas.items()
        }
        self.definitions: dict[str, Any] = finite(shared.get("$defs", {}))

    def _add(
        self, hint: Any, adapters: list[tuple[str, Any, TypeAdapter[Any]]]
    ) -> None:
        if key_of(hint) in self._keys:
            return
        adapter = adapter_for(hint)
        try:
            adapter.json_schema()
        except PydanticUserError:  # It has no counterpart in JSON.
            return
        key = self._keys[key_of(hint)] = f"k{len(self._keys)}"
        adapters.append((key, "validation", adapter))

    def of(self, hint: Any) -> dict[str, Any]:
        """Return the schema of *hint*, which may be anything if it is unknown."""
        return self._schemas.get(self._keys.get(key_of(hint), ""), {})


def finite(schema: Any) -> Any:
    """Return *schema* without defaults and bounds that JSON has no number for."""
    if isinstance(schema, list):
        return [finite(item) for item in schema if is_finite(item)]
    if isinstance(schema, dict):
        return {key: finite(item) for key, item in schema.items() if is_finite(item)}
    return schema


def is_finite(value: object) -> bool:
    """Tell whether *value* is anything but an infinite number, or none at all."""
    return not isinstance(value, float) or math.isfinite(value)


def key_of(hint: Any) -> Any:
    """Return what tells *hint* from others: itself, or its text if it has no hash."""
    try:
        hash(hint)
    except TypeError:
        return repr(hint)
    return hint


def hints_of(endpoint: Endpoint) -> Iterable[Any]:
    """Return every type that *endpoint* mentions."""
    for parameter in endpoint.parameters.values():
        yield parameter.annotation
    for alternative in endpoint.schema.alternatives:
        yield alternative.annotation


def schemas_of(entry: Entry) -> Schemas:
    """Return the schemas of all endpoints of *entry*."""
    return Schemas(entry.endpoints)


def openapi_of(entry: Entry) -> dict[str, Any]:
    """Return *entry* as a document of OpenAPI 3.1.

    How an endpoint puts its arguments into a request is its own business; those that
    are not in the path are listed under `x-arguments`.
    """
    schemas = schemas_of(entry)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in entry.endpoints:
        # A query in the path is a parameter there, and none of the address.
        path = f"/{endpoint.path.partition('?')[0].lstrip('/')}"
        method = endpoint.httpmethod.lower()
        if method in paths.get(path, {}):  # Many calls through one address.
            path = f"{path}#{endpoint.name}"
        paths.setdefault(path, {})[method] = operation_of(endpoint, schemas)
    versions = sorted({e.version for e in entry.endpoints if e.version})
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": entry.integration.name,
            "description": entry.integration.doc,
            "version": ", ".join(versions) or "unknown",
        },
        "paths": paths,
        "components": {"schemas": schemas.definitions},
    }
    if entry.base_url:
        document["servers"] = [{"url": entry.base_url.rstrip("/")}]
    return document


def operation_of(endpoint: Endpoint, schemas: Schemas) -> dict[str, Any]:
    """Return *endpoint* as an operation."""
    docstring = endpoint.docs["docstring"]
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": docstring.partition("\n")[0],
        "description": docstring,
        "parameters": [
            *path_parameters(endpoint, schemas),
            *query_parameters(endpoint, schemas),
        ],
        "x-arguments": arguments_schema(endpoint, schemas),
        "responses": responses_of(endpoint, schemas),
        "x-stability": endpoint.docs["policy"],
    }
    if re.match(r"https?://", endpoint.docurl):
        operation["externalDocs"] = {"url": endpoint.docurl}
    return operation


def path_parameters(endpoint: Endpoint, schemas: Schemas) -> list[dict[str, Any]]:
    """Return the arguments that are a part of the path."""
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": schemas.of(endpoint.parameters[name].annotation),
        }
        for name in dict.fromkeys(PLACEHOLDER.findall(endpoint.path.partition("?")[0]))
        if name in endpoint.parameters
    ]


def query_parameters(endpoint: Endpoint, schemas: Schemas) -> list[dict[str, Any]]:
    """Return what the path holds behind its `?`, where that is an argument or fixed."""
    found = {}
    for key, value in parse_qsl(endpoint.path.partition("?")[2]):
        names = PLACEHOLDER.findall(value)
        schema: dict[str, Any] = {"const": value}
        if is_secret_name(key):
            schema = {"type": "string"}
        if names:
            whole = value == f"{{{names[0]}}}"
            argument = endpoint.parameters[names[0]]
            schema = schemas.of(argument.annotation) if whole else {"type": "string"}
        found[key] = {"name": key, "in": "query", "required": True, "schema": schema}
    return list(found.values())


def arguments_schema(endpoint: Endpoint, schemas: Schemas) -> dict[str, Any]:
    """Return the arguments that are not a part of the path, as one object."""
    in_path = set(PLACEHOLDER.findall(endpoint.path))
    named = {
        name: parameter
        for name, parameter in endpoint.parameters.items()
        if name not in in_path
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    return {
        "type": "object",
        "properties": {name: schemas.of(p.annotation) for name, p in named.items()},
        "required": [name for name, p in named.items() if p.default is p.empty],
    }


def responses_of(endpoint: Endpoint, schemas: Schemas) -> dict[str, Any]:
    """Return what *endpoint* answers, by status."""
    by_status: dict[str, list[dict[str, Any]]] = {}
    for alternative in endpoint.schema.alternatives:
        status = str(alternative.status or "2XX")
        by_status.setdefault(status, []).append(schemas.of(alternative.annotation))
    return {
        status: {
            "description": "Successful" if status == "2XX" else f"Status {status}",
            "content": {"application/json": {"schema": _any_of(found)}},
        }
        for status, found in by_status.items()
    }


def _any_of(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
