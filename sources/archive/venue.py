"""Days of the venue's REST, read like files of the archive: trades by their ids, and klines."""

from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from flows.loop_thread import EventLoopThread
from flows.model import Kline, Trade, Vouched, timeframe_ms
from flows.queries import KlinesQuery, PastTradesQuery, QueryError
from sources.archive.csv_reader import ArchiveError
from sources.archive.files import ArchiveFile
from sources.rest.client import VenueError

BATCH = 2_000
"""Trades per query, in as many pages as the venue needs."""
_ANY_ID = 1 << 62

T = TypeVar("T")


class PastRest(Protocol):
    """The REST queries for the past. Every method raises `VenueError`."""

    async def first_trades(self, query: PastTradesQuery) -> Sequence[Trade]:
        """Some of the first trades of a time; none when nothing was traded, or the venue no longer has them."""

    async def trades(self, query: PastTradesQuery) -> list[Trade]:
        """The first trades of these ids that the venue has, ids rising; it may look for them by the query's time."""

    async def klines(self, query: KlinesQuery) -> list[Kline]:
        """The klines that open in a span."""


class VenueDays:
    """Days of a venue. Queries run in an event-loop thread, one at a time; the reader blocks until the answer."""

    def __init__(self, rest: PastRest, network: EventLoopThread) -> None:
        self._rest = rest
        self._network = network

    def get(self, file: ArchiveFile) -> "VenueDay | None":
        """A day; None when the venue has no trades of it. Klines are queried when they are read."""
        if not file.is_trades:
            return VenueDay(self, file)
        page = self.result(self._rest.first_trades(PastTradesQuery(file.symbol, 0, _ANY_ID, file.begin, file.end - 1)))
        if not page:
            return None
        first = page[0]
        before = first.id and self.result(self._rest.trades(self._query(file, first.id - 1, first.id - 1)))
        return VenueDay(self, file, first.id, first.time if first.id and not before else 0)

    def trades(self, file: ArchiveFile, first_id: int) -> Iterator[list[Trade]]:
        """The trades of a file from an id on, until the venue has no more or they are after its end."""
        following, begin = first_id, file.begin
        while True:
            query = PastTradesQuery(file.symbol, following, following + BATCH - 1, begin, file.end)
            found = self.result(self._rest.trades(query))
            batch = [trade for trade in found if trade.time < file.end]
            if batch:
                yield batch
            if not found or found[-1].time >= file.end:
                return
            following, begin = found[-1].id + 1, max(begin, found[-1].time)

    def klines(self, file: ArchiveFile) -> list[Kline]:
        """The closed klines of a file, including that of the period in which it begins."""
        begin = file.begin - file.begin % timeframe_ms(file.kind)
        klines = self.result(self._rest.klines(KlinesQuery(file.symbol, file.kind, begin, file.end - 1)))
        return [kline for kline in klines if kline.is_closed]

    def result(self, question: Coroutine[Any, Any, T]) -> T:
        """The result of a query. `ArchiveError` when it fails."""
        try:
            return self._network.start(question).result()
        except (VenueError, QueryError) as error:
            raise ArchiveError(str(error)) from error

    @staticmethod
    def _query(file: ArchiveFile, first_id: int, last_id: int) -> PastTradesQuery:
        return PastTradesQuery(file.symbol, first_id, last_id, file.begin, file.end)


class VenueDay(Struct, frozen=True):
    """A day of one kind of data of one symbol; implements `FileReader`. It is cut already and ignores the bounds."""

    days: VenueDays
    file: ArchiveFile
    first_id: int = 0
    known_from: int = 0
    vouched: Vouched = "all"

    def trades(self, begin: int, end: int) -> Iterator[list[Trade]]:  # noqa: ARG002 - files are cut here
        """Its trades."""
        return self.days.trades(self.file, self.first_id)

    def doubts(self) -> tuple[tuple[int, int], ...]:
        """None: the venue's answers are believed."""
        return ()

    def klines(self, begin: int, end: int) -> list[Kline]:  # noqa: ARG002
        """Its klines."""
        return self.days.klines(self.file)
