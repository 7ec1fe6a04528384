"""Days of the venue's REST, read like files of the archive: trades by their ids, and klines.

One answer alone proves nothing. Times rise with the ids, but for `BACK_MS`; and where the trades of a day end by their
ids they end by their times as well, for which the venue is queried in another way.
"""

from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from flows.bounds import BACK_MS
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
        page = self._by_time(file, file.begin)
        if not page:
            return None
        first = page[0]
        before = self.result(self._rest.trades(self._query(file, first.id - 1, first.id - 1))) if first.id else []
        if before and before[-1].time >= file.begin:
            raise _contradiction(file, f"its first trade of that day is {first.id}, and {before[-1].id}")
        return VenueDay(self, file, first.id, first.time if first.id and not before else 0)

    def trades(self, file: ArchiveFile, first_id: int) -> Iterator[list[Trade]]:
        """The trades of a file from an id on, until the venue has no more or they are after its end. `ArchiveError`
        where its answers contradict each other; the trades before that may have been returned.
        """
        following, newest = first_id, file.begin
        while True:
            query = PastTradesQuery(file.symbol, following, following + BATCH - 1, newest, file.end)
            found = self.result(self._rest.trades(query))
            _check_times(file, found, newest)
            batch = [trade for trade in found if trade.time < file.end]
            if batch:
                following, newest = batch[-1].id + 1, max(newest, *(trade.time for trade in batch))
            is_end = len(batch) < len(found) or not found
            if is_end:
                self._check_end(file, following, newest)
            if batch:
                yield batch
            if is_end:
                return

    def klines(self, file: ArchiveFile) -> list[Kline]:
        """The closed klines of a file, including that of the period in which it begins."""
        begin = file.begin - file.begin % timeframe_ms(file.kind)
        klines = self.result(self._rest.klines(KlinesQuery(file.symbol, file.kind, begin, file.end - 1)))
        return [kline for kline in klines if kline.is_closed]

    def _by_time(self, file: ArchiveFile, begin: int) -> Sequence[Trade]:
        """Some of the first trades of a file that were made from a time on."""
        query = PastTradesQuery(file.symbol, 0, _ANY_ID, begin, file.end - 1)
        page = self.result(self._rest.first_trades(query))
        for trade in page:
            if not query.begin <= trade.time <= query.end:
                raise _contradiction(file, f"trade {trade.id} is not of the time that was queried")
        return page

    def _check_end(self, file: ArchiveFile, following: int, newest: int) -> None:
        """Checks that by their times, too, no trades of a file follow those before an id, the newest of which was made
        at `newest`.
        """
        page = self._by_time(file, newest)
        if not page and newest > file.begin:
            raise _contradiction(file, f"it has no trade of {newest} any more")
        for trade in page:
            if trade.id >= following:
                raise _contradiction(file, f"it has no trade {following} of that day, but {trade.id}")

    def result(self, question: Coroutine[Any, Any, T]) -> T:
        """The result of a query. `ArchiveError` when it fails."""
        try:
            return self._network.start(question).result()
        except (VenueError, QueryError) as error:
            raise ArchiveError(str(error)) from error

    @staticmethod
    def _query(file: ArchiveFile, first_id: int, last_id: int) -> PastTradesQuery:
        return PastTradesQuery(file.symbol, first_id, last_id, file.begin, file.end)


def _check_times(file: ArchiveFile, trades: Sequence[Trade], newest: int) -> None:
    """Checks that the times of trades rise from `newest` on, as their ids do."""
    for trade in trades:
        if trade.time < newest - BACK_MS:
            raise _contradiction(file, f"trade {trade.id} was made {newest - trade.time} ms before those before it")
        newest = max(newest, trade.time)


def _contradiction(file: ArchiveFile, what: str) -> ArchiveError:
    return ArchiveError(f"{file.name} cannot be read: the venue's answers contradict each other ({what}): try again")


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
