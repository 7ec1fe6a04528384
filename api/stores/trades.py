"""Reads the trade stores in a thread of its own, also while the flow writes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from api.http.errors import Problem
from api.stores.health import Watch
from api.stores.peers import PeerTrades, Several
from flows.modules.late import late_module
from flows.settings import Trades
from sinks.lake.place import Lake
from sinks.lake.trades import older_trades
from sinks.trades.codec import END_MS, MINUTE_MS, decode_frame
from sinks.trades.reader import FRAME_ROWS, OpenOlder, TradeReader, in_order
from sinks.trades.record_checks import OnBad
from sinks.trades.store import RecordError, TradeStoreError
from sinks.trades.stored_records import leave_out

if TYPE_CHECKING:
    import polars as pl
else:
    pl = late_module("polars")

LOOK_BACK_MS: Final = MINUTE_MS
"""First span searched for the newest trades; doubled until there are enough."""

T = TypeVar("T")


class Completeness(NamedTuple):
    """Trades stored in a span, and ids issued from the first to the last of them."""

    held: int
    issued: int


class TradeArchive:
    """The stores of all venues below `trades.path`. One thread serves all reads, a frame at a time.

    Every method raises `Problem` when the venue has no store, or it cannot be read, or a record of the span cannot.
    Frames are as those of `TradeView`, with rows in the order of time and id.
    """

    def __init__(
        self,
        settings: Trades,
        *,
        venues: Collection[str],
        lake: Lake | None = None,
        peers: PeerTrades | None = None,
    ) -> None:
        """`venues` are those whose stores the flow writes: all of them are watched. What these have no more is read
        from the `lake`, and what other hosts have from the `peers`.
        """
        self._lake = lake
        self._peers = peers
        self._path: Path = settings.path
        self._venues = venues
        self._down: dict[str, str] = {}
        """Why the store of a watched venue cannot be read."""
        self._readers: dict[str, TradeReader] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="trade-reader")
        self.watch = Watch("trade_store")

    async def close(self) -> None:
        """Closes the stores and the thread."""

        def close() -> None:
            for reader in self._readers.values():
                reader.close()

        await asyncio.get_running_loop().run_in_executor(self._thread, close)
        self._thread.shutdown()

    async def check(self) -> None:
        """Checks whether the stores of the watched venues can be read; updates `watch`."""
        for venue in self._venues:
            with suppress(Problem):  # recorded in `watch`
                await self._read(venue, lambda _: None)

    async def symbols(self, venue: str) -> list[str]:
        """The symbols that have trades."""
        return await self._read(venue, lambda reader: reader.symbols())

    async def page(
        self, venue: str, symbol: str, start_ms: int, end_ms: int, *, after: tuple[int, int] | None, count: int
    ) -> pl.DataFrame:
        """The first `count` trades in `[start_ms, end_ms)`, or those after the time and id of `after`."""
        begin_ms = start_ms if after is None else max(start_ms, after[0])
        parts: list[pl.DataFrame] = []
        rows = 0
        async with aclosing(self.iterate(venue, symbol, begin_ms, end_ms, rows=count)) as frames:
            async for frame in frames:
                later = frame if after is None else frame.filter(_is_after(after))
                parts.append(later)
                rows += later.height
                if rows >= count:
                    break
        return pl.concat(parts).head(count) if parts else decode_frame([])

    async def newest(self, venue: str, symbol: str, end_ms: int, *, count: int) -> pl.DataFrame:
        """The last `count` trades before a time."""

        def read(reader: TradeReader) -> pl.DataFrame:
            first, last = reader.first_time(symbol, on_bad=leave_out), reader.last_time(symbol)
            if first is None or last is None:
                return decode_frame([])
            end = min(end_ms, last + 1)
            span = LOOK_BACK_MS
            found = in_order(reader.trades(symbol, max(end - span, 0), end))
            while found.height < count and end - span > first:
                span *= 2
                found = in_order(reader.trades(symbol, max(end - span, 0), end))
            return found.tail(count)

        return await self._read(venue, read)

    async def iterate(
        self,
        venue: str,
        symbol: str,
        start_ms: int,
        end_ms: int,
        *,
        rows: int = FRAME_ROWS,
        every_fill: bool = False,
        on_bad: OnBad | None = None,
    ) -> AsyncGenerator[pl.DataFrame, None]:
        """The trades in `[start_ms, end_ms)` as frames of about `rows`, as the store was at the first one. `on_bad` as
        in `TradeView`.
        """
        frames = await self._read(
            venue,
            lambda reader: reader.iterate(symbol, start_ms, end_ms, rows=rows, every_fill=every_fill, on_bad=on_bad),
        )
        while (frame := await self._read(venue, lambda _: next(frames, None), catch_up=False)) is not None:
            yield in_order(frame)

    async def feed(
        self,
        venue: str,
        symbol: str,
        start_ms: int,
        end_ms: int,
        take: Callable[[pl.DataFrame], None],
        *,
        columns: Sequence[str],
    ) -> None:
        """Passes the trades in `[start_ms, end_ms)` to `take`, in the reading thread, a frame at a time."""
        frames = await self._read(
            venue, lambda reader: reader.iterate(symbol, max(start_ms, 0), end_ms, columns=columns)
        )

        def take_next(_: TradeReader) -> bool:
            frame = next(frames, None)
            if frame is not None:
                take(frame)
            return frame is not None

        while await self._read(venue, take_next, catch_up=False):
            pass

    async def read(self, venue: str, act: Callable[[TradeReader], T]) -> T:
        """What `act` makes of the venue's store, in the reading thread."""
        return await self._read(venue, act)

    async def each(self, venue: str, items: Iterable[T]) -> AsyncGenerator[T, None]:
        """The items of something that reads the venue's store, made in the reading thread one by one."""
        made = iter(items)
        while (item := await self._read(venue, lambda _: next(made, None), catch_up=False)) is not None:
            yield item

    async def last_time(self, venue: str, symbol: str, *, on_bad: OnBad | None = None) -> int | None:
        """Time of a symbol's newest trade, ms UTC; None without trades."""
        return await self._read(venue, lambda reader: reader.last_time(symbol, on_bad=on_bad))

    async def completeness(self, venue: str, symbol: str, span_ms: int) -> Completeness | None:
        """Completeness of the last `span_ms` of stored trades; None without trades. Those of a record that cannot be
        read are not held.
        """
        last = await self.last_time(venue, symbol, on_bad=leave_out)
        if last is None:
            return None
        held = 0
        ids: list[int] = []
        async for frame in self.iterate(
            venue, symbol, max(0, last - span_ms), END_MS, every_fill=True, on_bad=leave_out
        ):
            held += frame.height
            ids += frame.select(low=pl.col("id").min(), high=pl.col("id").max()).row(0)
        return Completeness(held, max(ids) - min(ids) + 1)

    async def _read(self, venue: str, act: Callable[[TradeReader], T], *, catch_up: bool = True) -> T:
        def work() -> T:
            reader = self._reader(venue)
            if catch_up:
                reader.catch_up()
            return act(reader)

        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except RecordError as error:  # of one time of one symbol; the store is up
            raise Problem("unreadable_data", str(error)) from error
        except (FileNotFoundError, TradeStoreError) as error:
            self._note(venue, str(error))
            raise Problem("trade_store_absent", str(error), retry_after_s=5) from error
        self._note(venue, "")
        return found

    def _note(self, venue: str, reason: str) -> None:
        """Notes why a venue's store cannot be read; an empty reason: it was read."""
        if venue not in self._venues:
            return
        self._down.pop(venue, None)
        if reason:
            self._down[venue] = reason
        self.watch.report(
            up=not self._down, reason="; ".join(self._down[one] for one in self._venues if one in self._down)
        )

    def _reader(self, venue: str) -> TradeReader:
        if venue not in self._readers:
            self._readers[venue] = TradeReader(self._path / venue, older=self._beside(venue))
        return self._readers[venue]

    def _beside(self, venue: str) -> OpenOlder | None:
        """What is read besides the own store."""
        older, peers = older_trades(self._lake, venue), self._peers
        if peers is None:
            return older
        others = peers.of_venue(venue)
        return lambda first_stored: Several([*([older(first_stored)] if older else []), others])


def _is_after(after: tuple[int, int]) -> pl.Expr:
    time, number = after
    return (pl.col("time") > time) | ((pl.col("time") == time) & (pl.col("id") > number))
