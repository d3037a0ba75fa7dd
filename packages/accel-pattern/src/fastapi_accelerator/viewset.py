"""View sets."""

from accel_viewset import (
    AppOrm,
    FullViewSet,
    GenericViewSet,
    ViewSetCreate,
    ViewSetDelete,
    ViewSetList,
    ViewSetRetrieve,
    ViewSetUpdate,
)

__all__ = [
    "AppOrm",
    "FullViewSet",
    "GenericViewSet",
    "ViewSetCreate",
    "ViewSetDelete",
    "ViewSetList",
    "ViewSetRetrieve",
    "ViewSetUpdate",
]
