"""Files of the archive become a Bytewax source. Nothing else in this room knows the engine."""

import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import zip_longest
from typing import Any, Protocol, TypeAlias

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from msgspec import Struct, structs

from flows.model import AggregateTrade, Coverage, Instrument, Kline, Removed, Vouched
from sources.archive.journal import Journal
from sources.archive.names import ArchiveFile
from sources.archive.rows import ArchiveError
from sources.archive.spans import Span, spans_of

Keyed: TypeAlias = tuple[str, Any]


class FileReader(Protocol):
    """What a file holds, wherever it comes from. Both methods raise `ArchiveError` when it cannot be read, which may
    show only after some of it.
    """

    @property
    def known_from(self) -> int:
        """Time from which on it lacks nothing, ms UTC; 0 when it is whole."""

    @property
    def vouched(self) -> Vouched:
        """How sure it is that it begins and ends where it should."""

    def trades(self, begin: int, end: int) -> Iterator[list[AggregateTrade]]:
        """The trades in `[begin, end)`, ids rising."""

    def klines(self, begin: int, end: int) -> list[Kline]:
        """The closed klines that open in `[begin, end)`, oldest first."""


GetFile: TypeAlias = Callable[[ArchiveFile], FileReader | None]
"""What is in a file; None when it does not exist. `ArchiveError` when it cannot be used."""
FileReaders: TypeAlias = dict[ArchiveFile, FileReader]


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


class _Found(Struct, frozen=True):
    """A span, and what is there of it."""

    span: Span
    volumes: dict[ArchiveFile, FileReader | None] = {}
    """Of what is new; None for what does not exist."""
    error: ArchiveError | None = None

    @property
    def is_new(self) -> bool:
        """The journal does not hold all of it."""
        return bool(self.volumes) or self.error is not None

    @property
    def brings_trades(self) -> bool:
        """Whether trades of it will be read because they are new."""
        return any(file.is_trades and volume is not None for file, volume in self.volumes.items())

    def is_followed_by(self, other: "_Found | None") -> bool:
        """Whether the other one begins where this ends."""
        return other is not None and self.span.is_followed_by(other.span)


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

    A span is its klines, each file's behind a `Coverage`, the trades of each file between two `Coverage`, which say how
    sure it is that these were all, and at last the `Span` itself, with the files that were found. A month that is not
    published comes by its days. Held spans around a new one are read again, for its ids and theirs prove each other.
    Behind the last span of a symbol, where another symbol follows, comes `Removed`. `stop` ends it between two batches.
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
        for before, this, after in _with_neighbours(self._all_found(spans)):
            try:
                yield from self._items_of(before, this, after)
            except ArchiveError as error:
                self._watcher.on_failure(this.span, error)
            if after is not None and after.span.symbol != this.span.symbol:
                gone = Removed("archive", (this.span.symbol,), (), is_gone=True)
                yield [(Instrument(self._venue, this.span.symbol).key, gone)]

    def _all_found(self, spans: list[Span]) -> Iterator[_Found]:
        """The spans with what is there of them, one by one as they are wanted."""
        for span in spans:
            new = [file for file in span.files if not self._journal.holds(file, span)]
            try:
                volumes = {file: self._get(file) for file in new}
            except ArchiveError as error:
                yield _Found(span, error=error)
                continue
            if any(file.is_month and volume is None for file, volume in volumes.items()):
                yield from self._all_found(_by_day(span))
            else:
                yield _Found(span, volumes)

    def _items_of(self, before: _Found | None, this: _Found, after: _Found | None) -> Iterator[list[Keyed]]:
        if not this.is_new:
            volumes = self._read_again(before, this, after)
        elif this.span.symbol in self._torn:
            raise ArchiveError(f"{this.span.name} waits until what is before it can be read")
        else:
            volumes = self._new(this)
        if volumes:
            trades_follow = after is not None and (after.brings_trades or (this.brings_trades and not after.is_new))
            yield from self._read(this.span, volumes, goes_on=trades_follow and this.is_followed_by(after))

    def _new(self, this: _Found) -> FileReaders:
        """What is there of a span of which something is new. `ArchiveError` when it cannot be used."""
        if this.error:
            raise this.error
        for file in (file for file, volume in this.volumes.items() if volume is None):
            self._watcher.on_missing(file)
        found = {file: volume for file, volume in this.volumes.items() if volume}
        return self._known(this) | found if found else {}

    def _read_again(self, before: _Found | None, this: _Found, after: _Found | None) -> FileReaders:
        """What is there of a held span beside a new one; nothing when it cannot be had, or stands alone."""
        behind_new = before is not None and before.brings_trades and before.is_followed_by(this)
        before_new = after is not None and after.brings_trades and this.is_followed_by(after)
        if not (behind_new or before_new) or this.span.symbol in self._torn:
            return {}
        try:
            return self._known(this)
        except ArchiveError:
            return {}  # it is stored, so it is no failure

    def _known(self, this: _Found) -> FileReaders:
        known = {file: self._get(file) for file in this.span.files if file not in this.volumes}
        return {file: volume for file, volume in known.items() if volume}

    def _read(self, span: Span, volumes: FileReaders, *, goes_on: bool) -> Iterator[list[Keyed]]:
        files = [file for file in span.files if file in volumes]
        trades = [file for file in files if file.is_trades]
        key = Instrument(self._venue, span.symbol).key
        for file in files:
            if not file.is_trades:
                self._watcher.on_file(file)
                if klines := volumes[file].klines(*span.cut(file)):
                    yield [(key, _of_klines(span, file, volumes[file])), (key, klines)]
        # Broken off, it would look like a hole, and candles would be stored as lacking what a whole file has.
        self._torn |= {span.symbol} if trades else set()
        for file, following in zip_longest(trades, trades[1:]):
            is_last = following is None
            follows = goes_on and file.end >= span.end if is_last else file.end == following.begin
            yield from self._trades(key, span, file, volumes[file], goes_on=follows)
        self._torn.discard(span.symbol)
        if not trades or trades[-1].end < span.end:
            yield [(key, Coverage((span.symbol,), span.begin, span.end, span.name, has_trades=False, is_over=True))]
        read = tuple(structs.replace(file, begin=max(file.begin, volumes[file].known_from)) for file in files)
        yield [(key, structs.replace(span, files=read))]

    def _trades(
        self, key: str, span: Span, file: ArchiveFile, volume: FileReader, *, goes_on: bool
    ) -> Iterator[list[Keyed]]:
        """The trades of one file, between what is said of them."""
        begin, end = span.part(file)
        begin = max(begin, volume.known_from)
        whole = Coverage((span.symbol,), begin, end, file.name, vouched=volume.vouched, goes_on=goes_on)
        yield [(key, whole)]
        self._watcher.on_file(file)
        for batch in volume.trades(*span.cut(file)):
            self._watcher.on_trades(len(batch))
            yield [(key, batch)]
        yield [(key, structs.replace(whole, is_over=True))]


def _of_klines(span: Span, file: ArchiveFile, reader: FileReader) -> Coverage:
    """What is said of a file of klines."""
    begin, end = span.part(file)
    vouched = reader.vouched
    return Coverage((span.symbol,), begin, end, file.name, has_trades=False, timeframe=file.kind, vouched=vouched)


def _with_neighbours(found: Iterator[_Found]) -> Iterator[tuple[_Found | None, _Found, _Found | None]]:
    """Each with the ones before and behind it."""
    before, this = None, next(found, None)
    while this is not None:
        after = next(found, None)
        yield before, this, after
        before, this = this, after


def _by_day(span: Span) -> list[Span]:
    days = [day for file in span.files for day in (file.days() if file.is_month else [file])]
    return spans_of(days, span.begin, span.end)
