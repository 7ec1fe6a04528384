"""One round of `python -m tests.hosts`, so that its parts stay as they are needed: two hosts as network namespaces, of
which one loses its flow while trades come.
"""

import random
from pathlib import Path

import pytest

from tests.fakes.nats import needs_nats
from tests.hosts.deployment import deployment
from tests.hosts.network import reason_for_none

pytestmark = [pytest.mark.e2e, needs_nats]


async def test_two_hosts_of_which_one_loses_its_flow(tmp_path: Path) -> None:
    if reason := reason_for_none():
        pytest.skip(reason)
    async with deployment(tmp_path, clients=3, prefix="mft", count=2) as hosts:
        await hosts.lose("flow", random.Random(7))
        assert await hosts.compare(minutes=1) == []
