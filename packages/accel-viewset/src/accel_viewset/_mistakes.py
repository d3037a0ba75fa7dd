"""What as_view refuses because it would silently be ignored."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from accel_viewset._actions import is_action

# The names of Django REST framework. The first of them are dangerous: who writes
# `permission_classes` believes that the endpoints are closed.
_ELSEWHERE = {
    "permission_classes": "`permissions = (IsOwner(),)`, with objects, not classes",
    "authentication_classes": "`dependencies = (Depends(jwt_auth),)`",
    "throttle_classes": "`throttle = Throttle(limiter, limit=100, period=60)`",
    "throttle_scope": "`throttle = Throttle(limiter, limit=100, period=60)`",
    "serializer_class": "`pydantic_model`, and `create_schema` or `update_schema`",
    "queryset": "`db_model`, and the method `scope_query` to narrow the rows",
    "filterset_fields": "`filters`",
    "filterset_class": "`filters`",
    "filter_backends": "`filters`, `search` and `ordering`, which need no backend",
    "search_fields": "`search`",
    "ordering_fields": "`ordering`",
    "pagination_class": "`paginator_class`",
    "get_queryset": "the method `scope_query(statement, request)`",
    "get_permissions": "`permissions`, whose methods are told the action",
    "perform_create": '`create_values = {"owner": function of the request}`, or the '
    "method `db_create(item, aorm)`",
    "perform_update": "the method `db_update(item_id, item, aorm)`",
    "perform_destroy": "the method `db_delete(item_id, aorm)`",
    "destroy": "the method `db_delete(item_id, aorm)`; the action is called `delete`",
    "http_method_names": "the view sets that offer what you want: `ReadOnlyViewSet`, or "
    "`ViewSetList`, `ViewSetCreate`, … one each",
    "get_serializer_class": "`pydantic_model`, `create_schema` and `update_schema`",
    "get_serializer": "`pydantic_model`, `create_schema` and `update_schema`",
    "get_serializer_context": "`create_values`, or `request.state`",
    "filter_queryset": "the method `scope_query(statement, request)`",
    "paginate_queryset": "a `paginator_class` of your own",
    "max_page_size": "`max_limit`",
    "page_size_query_param": "the parameter `size`, or a `paginator_class` of your own",
    "lookup_field": "the primary key, which is in the addresses; find a row by another "
    "column with `filters`, or an `@action`",
    "lookup_url_kwarg": "`item_id`, as the parameter is always called",
    "lookup_value_regex": "`type_item_id`",
    "parser_classes": "JSON; for a form or a file, write an `@action`",
    "renderer_classes": "JSON; for another format, write an `@action`",
    "get_throttles": "`throttle = Throttle(limiter, limit=100, period=60)`",
    "get_authenticators": "`dependencies = (Depends(jwt_auth),)`",
    "handle_exception": "handlers of the application",
    "versioning_class": "a prefix of the router",
}
# They are called once, to register an endpoint, and not for each request.
_REGISTERS = {
    **dict.fromkeys(("list", "retrieve"), "`scope_query`"),
    **dict.fromkeys(("create", "bulk_create"), "`db_create(item, aorm)`"),
    **dict.fromkeys(
        ("update", "partial_update", "bulk_update"), "`db_update(item_id, item, aorm)`"
    ),
    **dict.fromkeys(("delete", "bulk_delete"), "`db_delete(item_id, aorm)`"),
}
_QUESTIONS = ("has_permission", "has_object_permission")
_SEQUENCES = (
    *("permissions", "dependencies", "filters", "ordering", "default_ordering"),
    *("search", "expand", "cache_tags"),
)


def mistakes_in(view: Any) -> Iterator[tuple[str, str]]:
    """Iterate over the attributes that mean nothing here, each with the cure."""
    for name, ours in _ELSEWHERE.items():
        # An `@action` of this name is an endpoint.
        if hasattr(view, name) and not is_action(getattr(view, name)):
            yield name, f"it means nothing here. Use {ours}."
    yield from _never_called(view)
    for name in _SEQUENCES:
        if reason := _no_sequence(name, getattr(view, name)):
            yield name, reason
            return
    for permission in view.permissions:
        if reason := _no_permission(permission):
            yield "permissions", reason
    if view.throttle is not None and not _is_throttle(view.throttle):
        reason = (
            f"{view.throttle!r} is no `Throttle` object. One counts for all actions: "
            "`throttle = Throttle(limiter, limit=100, period=60)`. For some of them, "
            "use a limiter in `action_dependencies`."
        )
        yield "throttle", reason


def _never_called(view: Any) -> Iterator[tuple[str, str]]:
    """Iterate over methods of ours that are written as those of other frameworks."""
    for name, ours in _REGISTERS.items():
        method = getattr(view, name, None)
        if method is None or is_action(method):
            continue
        if inspect.iscoroutinefunction(method) or not _takes(method):
            reason = (
                "it is called once, without a request, to register the endpoint. Write "
                f"the endpoint inside of it, or override {ours}."
            )
            yield name, reason
    method = getattr(view, "get_object", None)
    if method and not _takes(
        method, "request", "item_id", "aorm", action="", expand=()
    ):
        yield (
            "get_object",
            "it is called as `get_object(request, item_id, aorm, action=…, expand=…)`.",
        )


def _takes(method: Any, *args: Any, **options: Any) -> bool:
    try:
        inspect.signature(method).bind(*args, **options)
    except TypeError:
        return False
    return True


def _no_sequence(name: str, value: Any) -> str | None:
    if isinstance(value, Mapping) and name != "filters":
        return "it is a mapping. Write a tuple or a list, which is for all actions."
    if isinstance(value, str) or not isinstance(value, (Sequence, Mapping, set)):
        return f"{value!r} stands alone. Write a tuple of one: `{name} = (…,)`."
    return None


def _no_permission(permission: Any) -> str | None:
    if inspect.isclass(permission):
        name = permission.__name__
        return f"`{name}` is a class. Write an object of it: `{name}()`."
    if any(callable(getattr(permission, name, None)) for name in _QUESTIONS):
        return None
    return (
        f"{permission!r} has neither `has_permission` nor `has_object_permission`, so "
        "it would never be asked. Write a subclass of `Permission`, and an object of "
        "it; for a function of a request, use `dependencies`."
    )


def _is_throttle(value: Any) -> bool:
    return not inspect.isclass(value) and callable(getattr(value, "check", None))
