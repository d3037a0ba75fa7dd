"""The testing kit: mocks, a clock to move, and a server that misbehaves.

Nothing of it is imported at run time, and it needs no extra.
"""

from accel_integration._cassette import UnrecordedRequestError, recorded
from accel_integration._fake_clock import FakeClock
from accel_integration._fault_server import (
    Fault,
    FaultServer,
    ReceivedRequest,
    fault_server,
)
from accel_integration._mocks import (
    Call,
    MockRules,
    UnmockedCallError,
    fail,
    latency,
    on_request,
    respond,
)
from accel_integration._patching import patch_integration

__all__ = [
    "Call",
    "FakeClock",
    "Fault",
    "FaultServer",
    "MockRules",
    "ReceivedRequest",
    "UnmockedCallError",
    "UnrecordedRequestError",
    "fail",
    "fault_server",
    "latency",
    "on_request",
    "patch_integration",
    "recorded",
    "respond",
]
