import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def app():
    return FastAPI(title="Shop")


@pytest.fixture
def browse(app):
    """Open clients of *app*, and close them at the end."""
    clients = []

    def open_client(target=app, **options):
        client = TestClient(target, **options)
        clients.append(client)
        return client.__enter__()

    yield open_client
    for client in clients:
        client.__exit__(None, None, None)
