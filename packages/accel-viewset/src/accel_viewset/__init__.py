"""Django-REST-like view sets for FastAPI."""

from accel_viewset._actions import action
from accel_viewset._app_orm import AppOrm
from accel_viewset._bulk import ViewSetBulk
from accel_viewset._caching import connect
from accel_viewset._errors import (
    ConfigurationError,
    IdempotencyError,
    IdempotencyKeyInFlight,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    IdempotencyUnavailable,
    MissingExtra,
    MissingManager,
    OutOfScope,
    PermissionRefused,
    PreconditionFailed,
    PreconditionRequired,
    TooManyRequests,
    ViewSetError,
)
from accel_viewset._generic import BaseViewSet, GenericViewSet
from accel_viewset._idempotency import (
    IdempotencyStore,
    MemoryIdempotency,
    RedisIdempotency,
)
from accel_viewset._paginators import (
    BasePaginatorClass,
    CursorPaginator,
    DefaultPaginator,
    LimitOffsetPaginator,
)
from accel_viewset._permissions import Permission
from accel_viewset._throttling import Throttle
from accel_viewset._view_sets import (
    FullViewSet,
    ReadOnlyViewSet,
    ViewSetCreate,
    ViewSetDelete,
    ViewSetList,
    ViewSetPartialUpdate,
    ViewSetRetrieve,
    ViewSetUpdate,
)

__all__ = [
    "AppOrm",
    "BasePaginatorClass",
    "BaseViewSet",
    "ConfigurationError",
    "CursorPaginator",
    "DefaultPaginator",
    "FullViewSet",
    "GenericViewSet",
    "IdempotencyError",
    "IdempotencyKeyInFlight",
    "IdempotencyKeyMissing",
    "IdempotencyKeyReused",
    "IdempotencyStore",
    "IdempotencyUnavailable",
    "LimitOffsetPaginator",
    "MemoryIdempotency",
    "MissingExtra",
    "MissingManager",
    "OutOfScope",
    "Permission",
    "PermissionRefused",
    "PreconditionFailed",
    "PreconditionRequired",
    "ReadOnlyViewSet",
    "RedisIdempotency",
    "Throttle",
    "TooManyRequests",
    "ViewSetBulk",
    "ViewSetCreate",
    "ViewSetDelete",
    "ViewSetError",
    "ViewSetList",
    "ViewSetPartialUpdate",
    "ViewSetRetrieve",
    "ViewSetUpdate",
    "action",
    "connect",
]
