"""Who may do what."""

from collections.abc import Collection, Mapping
from typing import Any

from accel_admin._accounts import Account
from accel_admin._errors import UnknownRole

Roles = Mapping[str, Mapping[Any, Collection[str]]]
"""What each role may do: names of actions by model, or by `"*"` for every model."""

# What each page of a model needs. A page of your own needs its own name.
_PAGES = {
    "index_view": "read",
    "details_view": "read",
    "ajax_lookup": "read",
    "create_view": "create",
    "edit_view": "edit",
    "ajax_update": "edit",
    "delete_view": "delete",
    "export": "export",
    # Checked again, by the name of the action.
    "action_view": "read",
}


class Permissions:
    """Answers who may do what."""

    def __init__(self, roles: Roles, accounts: Collection[Account]) -> None:
        self._roles = {
            role: {model: _names(actions) for model, actions in granted.items()}
            for role, granted in roles.items()
        }
        for account in accounts:
            for role in account.roles:
                if role not in roles:
                    raise UnknownRole(account.username, role)

    def allow(self, account: Account | None, model: type, action: str) -> bool:
        """Tell whether *account* may do *action* on rows of *model*."""
        if account is None:
            return False
        if account.is_superuser:
            return True
        return any(
            action in granted.get(model, granted.get("*", frozenset()))
            for granted in (self._roles[role] for role in account.roles)
        )


def _names(actions: Collection[str]) -> frozenset[str]:
    # `"delete" in "undelete"` is true, so a text alone must become a set.
    return frozenset({actions} if isinstance(actions, str) else actions)


def action_of(page: str) -> str:
    """Return the action that the page called *page* performs."""
    return _PAGES.get(page, page)
