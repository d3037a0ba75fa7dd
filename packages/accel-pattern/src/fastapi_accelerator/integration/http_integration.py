"""HTTP integrations."""

from accel_integration import (
    ApiHTTP,
    EndpointsDeclaration,
    HTTPMethod,
    IntegrationHTTP,
)

__all__ = ["ApiHTTP", "EndpointsDeclaration", "HTTPMethod", "IntegrationHTTP"]
