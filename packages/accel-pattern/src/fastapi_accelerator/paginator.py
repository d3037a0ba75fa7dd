"""Pages."""

from accel_viewset import BasePaginatorClass, DefaultPaginator

__all__ = ["BasePaginatorClass", "DefaultPaginator"]
