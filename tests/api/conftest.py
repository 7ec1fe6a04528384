"""Fixtures of the API's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pymongo import MongoClient

from tests.fakes.interface import Deployment, Interface, fill, interface


@pytest.fixture
async def deployment(tmp_path: Path, mongod_uri: str) -> AsyncIterator[Deployment]:
    """Stores that are empty, and no hub yet."""
    made = Deployment(tmp_path, mongod_uri)
    yield made
    await made.stop_hub()
    with MongoClient[dict[str, object]](mongod_uri) as client:
        client.drop_database(made.database)


@pytest.fixture
async def served(deployment: Deployment) -> AsyncIterator[Interface]:
    """The API of a complete deployment."""
    fill(deployment)
    async with interface(deployment) as running:
        yield running
