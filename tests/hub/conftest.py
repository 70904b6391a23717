"""A small Hub on loopback, and a process in which the real client calls it."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))
from hub_client import HubClient
from hub_server import HubServer


@pytest.fixture(scope="session")
def hub():
    """The Hub, with whatever tests before have pushed to it."""
    with HubServer() as server:
        yield server


@pytest.fixture(scope="session")
def client(hub, tmp_path_factory):
    """A client of it, that keeps what it has downloaded."""
    client = HubClient(hub.endpoint, tmp_path_factory.mktemp("home"))
    yield client
    client.close()
