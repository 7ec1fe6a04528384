"""The venue's REST side, read as if its days were files of the archive: trades by their ids, and klines."""

from collections.abc import Coroutine, Iterator
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from flows.loop_thread import EventLoopThread
from flows.model import AggregateTrade, Kline, Trade, Vouched, timeframe_ms
from flows.queries import KlinesQuery, PastTradesQuery
from sources.archive.names import ArchiveFile
from sources.archive.rows import ArchiveError
from sources.rest.client import VenueError

BATCH = 2_000
"""Trades that are asked for at once, in as many pages as the venue wants."""
_ANY_ID = 1 << 62

T = TypeVar("T")


class PastRest(Protocol):
    """A venue, as far as old times need it. Every method raises `VenueError`."""

    async def first_trades(self, query: PastTradesQuery) -> list[AggregateTrade]:
        """The first aggregates of a time, some of them; none when nothing was traded, or the venue lost it."""

    async def trades(self, query: PastTradesQuery) -> list[Trade]:
        """The aggregates of these ids that the venue has, ids rising."""

    async def klines(self, query: KlinesQuery) -> list[Kline]:
        """The klines that open in a span."""


class VenueDays:
    """Days of a venue. A network thread asks, one question at a time; whoever reads waits for it."""

    def __init__(self, rest: PastRest, network: EventLoopThread) -> None:
        self._rest = rest
        self._network = network

    def get(self, file: ArchiveFile) -> "VenueDay | None":
        """A day; None when the venue has no trades of it. Klines are asked for when they are read."""
        if not file.is_trades:
            return VenueDay(self, file)
        page = self.told(self._rest.first_trades(PastTradesQuery(file.symbol, 0, _ANY_ID, file.begin, file.end - 1)))
        if not page:
            return None
        first = page[0]
        before = first.id and self.told(self._rest.trades(self._query(file, first.id - 1, first.id - 1)))
        return VenueDay(self, file, first.id, first.time if first.id and not before else 0)

    def trades(self, file: ArchiveFile, first_id: int) -> Iterator[list[AggregateTrade]]:
        """The trades of a file from an id on, until the venue has no more or they are behind its end."""
        following = first_id
        while True:
            found = self.told(self._rest.trades(self._query(file, following, following + BATCH - 1)))
            batch = [trade for trade in found if isinstance(trade, AggregateTrade) and trade.time < file.end]
            if batch:
                yield batch
            if not found or found[-1].time >= file.end:
                return
            following = found[-1].id + 1

    def klines(self, file: ArchiveFile) -> list[Kline]:
        """The closed klines of a file, that of the period in which it begins included."""
        begin = file.begin - file.begin % timeframe_ms(file.kind)
        klines = self.told(self._rest.klines(KlinesQuery(file.symbol, file.kind, begin, file.end - 1)))
        return [kline for kline in klines if kline.is_closed]

    def told(self, question: Coroutine[Any, Any, T]) -> T:
        """What the venue answers. `ArchiveError` when it does not."""
        try:
            return self._network.start(question).result()
        except VenueError as error:
            raise ArchiveError(str(error)) from error

    @staticmethod
    def _query(file: ArchiveFile, first_id: int, last_id: int) -> PastTradesQuery:
        return PastTradesQuery(file.symbol, first_id, last_id, file.begin, file.end)


class VenueDay(Struct, frozen=True):
    """A day of one kind of data of one symbol. It is cut already, and gives all it has whatever is wanted of it."""

    days: VenueDays
    file: ArchiveFile
    first_id: int = 0
    known_from: int = 0
    vouched: Vouched = "all"

    def trades(self, begin: int, end: int) -> Iterator[list[AggregateTrade]]:  # noqa: ARG002 - files are cut here
        """Its trades."""
        return self.days.trades(self.file, self.first_id)

    def klines(self, begin: int, end: int) -> list[Kline]:  # noqa: ARG002
        """Its klines."""
        return self.days.klines(self.file)
