"""The clients of the hosts, in a process of their own; see `members`."""

from collections.abc import Mapping, Sequence

from tests.hosts.companion import Companion
from tests.hosts.host import TOKEN, Host
from tests.hosts.members import Key, Report, serve


class Crowd:
    """All of them."""

    def __init__(self, hosts: Sequence[Host], count: int) -> None:
        self.count = count
        self._companion = Companion(serve, [one.url for one in hosts], TOKEN, count)

    async def start(self) -> None:
        """They connect."""
        await self._companion.calling("start")

    async def report(self) -> Report:
        """What they have seen."""
        found: Report = await self._companion.calling("report")
        return found

    async def candles_differ(self, closed: Mapping[Key, int], until_seq: int) -> list[str]:
        """What they have not seen as the stream has it, of the candles that were closed up to a number."""
        found: list[str] = await self._companion.calling("candles", dict(closed), until_seq)
        return found

    def close(self) -> None:
        """They leave."""
        self._companion.close()
