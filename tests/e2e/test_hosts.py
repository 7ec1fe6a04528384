"""A whole host is lost and comes back: flow, interface, servers of NATS and MongoDB, each in a network of its own."""

import random
from pathlib import Path

import pytest

from tests.fakes.nats import needs_nats
from tests.hosts.deployment import deployment
from tests.hosts.network import reason_for_none

REASON = reason_for_none()
pytestmark = [pytest.mark.e2e, pytest.mark.slow, needs_nats, pytest.mark.skipif(bool(REASON), reason=REASON)]


async def test_when_a_host_is_lost_stores_stream_and_clients_lack_nothing(tmp_path: Path) -> None:
    async with deployment(tmp_path, clients=6, prefix="mft") as hosts:
        await hosts.minutes_later(3)
        await hosts.lose("host", random.Random(7))
        assert await hosts.compare() == []
