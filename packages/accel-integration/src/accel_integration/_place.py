"""Places: where answers come from, as errors tell of them."""

from typing import TYPE_CHECKING, Any

from accel_integration._context import Exchange
from accel_integration._masking import is_secret_name, mask_url, secrets_in

if TYPE_CHECKING:
    from accel_integration._received import Received

__all__ = ["Place", "secrets_sent"]


def secrets_sent(exchange: Exchange) -> list[str]:
    """Return what was sent in headers that seem secret, such as a password in Base64."""
    headers = exchange.request.headers.items() if exchange.request else ()
    values = [value for name, value in headers if is_secret_name(name)]
    return [*values, *(value.rpartition(" ")[2] for value in values)]


class Place:
    """Where an answer comes from; it is masked only when an error tells of it."""

    __slots__ = ("credentials", "full_url", "last_read", "name")

    def __init__(self, name: str, full_url: str, credentials: Any) -> None:
        self.name = name
        self.full_url = full_url
        self.credentials = credentials
        # The last response that was read, so that none is read twice in a call.
        self.last_read: tuple[Any, Received] | None = None

    @property
    def secrets(self) -> list[str]:
        """The secrets that must not show."""
        return secrets_in(self.credentials)

    @property
    def url(self) -> str:
        """The URL without secrets."""
        return mask_url(self.full_url, self.secrets)
