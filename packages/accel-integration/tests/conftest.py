"""Fixtures for every test here."""

import pytest


@pytest.fixture
def anyio_backend():
    """Run async tests on asyncio, the only loop we support."""
    return "asyncio"
