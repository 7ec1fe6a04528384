"""Files of the archive become a Bytewax source. Nothing else in this room knows the engine."""

import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from msgspec import structs

from flows.model import AggregateTrade, Instrument, Kline, Whole
from sources.archive.journal import Journal
from sources.archive.names import ArchiveFile
from sources.archive.rows import ArchiveError
from sources.archive.spans import Span, spans_of

Keyed: TypeAlias = tuple[str, Any]


class Volume(Protocol):
    """What a file holds, wherever it comes from. Both methods raise `ArchiveError` when it cannot be read, which may
    show only after some of it.
    """

    @property
    def known_from(self) -> int:
        """Time from which on it lacks nothing, ms UTC; 0 when it is whole."""

    def trades(self, begin: int, end: int) -> Iterator[list[AggregateTrade]]:
        """The trades in `[begin, end)`, ids rising."""

    def klines(self, begin: int, end: int) -> list[Kline]:
        """The closed klines that open in `[begin, end)`, oldest first."""


GetFile: TypeAlias = Callable[[ArchiveFile], Volume | None]
"""What is in a file; None when it does not exist. `ArchiveError` when it cannot be used."""
Volumes: TypeAlias = dict[ArchiveFile, Volume]


class Watcher(Protocol):
    """Who is told how the reading goes on."""

    def on_file(self, file: ArchiveFile) -> None:
        """A file begins."""

    def on_trades(self, trades: int) -> None:
        """So many more are read."""

    def on_missing(self, file: ArchiveFile) -> None:
        """There is no such file."""

    def on_failure(self, span: Span, error: ArchiveError) -> None:
        """A span cannot be imported; the next one follows."""


class _Items(StatefulSourcePartition[Keyed, None]):
    def __init__(self, items: Iterator[list[Keyed]], stop: threading.Event) -> None:
        self._items = items
        self._stop = stop

    def next_batch(self) -> list[Keyed]:
        if self._stop.is_set():
            raise StopIteration
        return next(self._items)

    def next_awake(self) -> datetime | None:
        return None

    def snapshot(self) -> None:
        return None


class ArchiveSource(FixedPartitionedSource[Keyed, None]):
    """Spans one after the other, but for those that the journal holds, as `(instrument key, item)`.

    A span is its klines, its trades between two `Whole`, for its files hold all there were, so nothing is missing at
    its begin and everything is over at its end; and at last the `Span` itself, with the files that were found. A month
    that is not published comes by its days. `stop` ends it between two batches.
    """

    def __init__(
        self, venue: str, spans: list[Span], get: GetFile, *, journal: Journal, watcher: Watcher, stop: threading.Event
    ) -> None:
        self._venue = venue
        self._spans = spans
        self._get = get
        self._journal = journal
        self._watcher = watcher
        self._stop = stop
        self._torn: set[str] = set()

    def list_parts(self) -> list[str]:
        """Called by the engine."""
        return ["archive"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _Items:
        """Called by the engine."""
        return _Items(self._items(self._spans), self._stop)

    def _items(self, spans: list[Span]) -> Iterator[list[Keyed]]:
        for span in spans:
            try:
                yield from self._items_of(span)
            except ArchiveError as error:
                self._watcher.on_failure(span, error)

    def _items_of(self, span: Span) -> Iterator[list[Keyed]]:
        new = [file for file in span.files if not self._journal.holds(file, span)]
        if not new:
            return
        if span.symbol in self._torn:
            raise ArchiveError(f"{span.name} waits until what is before it can be read")
        found = {file: self._get(file) for file in new}
        if any(file.is_month and volume is None for file, volume in found.items()):
            yield from self._items(_by_day(span))
            return
        for file in (file for file, volume in found.items() if volume is None):
            self._watcher.on_missing(file)
        if any(found.values()):
            known = {file: self._get(file) for file in span.files if file not in found}
            yield from self._read(span, {file: volume for file, volume in (known | found).items() if volume})

    def _read(self, span: Span, volumes: Volumes) -> Iterator[list[Keyed]]:
        files = [file for file in span.files if file in volumes]
        trades = [file for file in files if file.is_trades]
        key = Instrument(self._venue, span.symbol).key
        begin = max([span.begin, *(volumes[file].known_from for file in trades)])
        whole = Whole((span.symbol,), begin, span.end, span.name, bool(trades))
        for file in files:
            if not file.is_trades:
                self._watcher.on_file(file)
                if klines := volumes[file].klines(*span.cut(file)):
                    yield [(key, klines)]
        if trades:
            yield [(key, whole)]
            # Broken off, it would look like a hole, and candles would be stored as lacking what a whole file has.
            self._torn.add(span.symbol)
            for file in trades:
                self._watcher.on_file(file)
                for batch in volumes[file].trades(*span.cut(file)):
                    self._watcher.on_trades(len(batch))
                    yield [(key, batch)]
            self._torn.discard(span.symbol)
        read = tuple(structs.replace(file, begin=max(file.begin, volumes[file].known_from)) for file in files)
        yield [(key, structs.replace(whole, is_over=True)), (key, structs.replace(span, files=read))]


def _by_day(span: Span) -> list[Span]:
    days = [day for file in span.files for day in (file.days() if file.is_month else [file])]
    return spans_of(days, span.begin, span.end)
