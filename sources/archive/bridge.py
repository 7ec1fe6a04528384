"""The archive's files as a Bytewax source. The other modules of this folder do not import the engine."""

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any, Protocol, TypeAlias

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from msgspec import Struct, structs

from flows.model import Coverage, Instrument, Kline, Removed, Trade, Vouched
from sources.archive.csv_reader import ArchiveError
from sources.archive.files import ArchiveFile
from sources.archive.manifest import Manifest
from sources.archive.spans import Span, spans_of

Keyed: TypeAlias = tuple[str, Any]


class FileReader(Protocol):
    """Reads a file, whatever its source. Both methods raise `ArchiveError` when it cannot be read, possibly after
    a part of it.
    """

    @property
    def known_from(self) -> int:
        """Time from which on it is complete, ms UTC; 0 when all of it is."""

    @property
    def vouched(self) -> Vouched:
        """What confirms that nothing is missing at its begin and end."""

    def trades(self, begin: int, end: int) -> Iterator[Sequence[Trade]]:
        """The trades in `[begin, end)`, ids rising."""

    def doubts(self) -> tuple[tuple[int, int], ...]:
        """Stretches in which its times contradict each other, and are not vouched for: first and last time, ms UTC."""

    def klines(self, begin: int, end: int) -> list[Kline]:
        """The closed klines that open in `[begin, end)`, oldest first."""


GetFile: TypeAlias = Callable[[ArchiveFile], FileReader | None]
"""Opens a file; None when it does not exist. `ArchiveError` when it cannot be used."""
FileReaders: TypeAlias = dict[ArchiveFile, FileReader]


class Watcher(Protocol):
    """Receives the progress of reading."""

    def on_file(self, file: ArchiveFile) -> None:
        """Called when reading of a file begins."""

    def on_trades(self, trades: int) -> None:
        """Called with the number of trades of each batch read."""

    def on_missing(self, file: ArchiveFile) -> None:
        """Called for a file that does not exist."""

    def on_failure(self, span: Span, error: ArchiveError) -> None:
        """Called for a span that cannot be imported; the import goes on with the next one."""


class _Found(Struct, frozen=True):
    """A span, and the readers of its files."""

    span: Span
    readers: dict[ArchiveFile, FileReader | None] = {}
    """For each new file; None for one that does not exist."""
    error: ArchiveError | None = None

    @property
    def is_new(self) -> bool:
        """Whether the manifest does not contain all of it."""
        return bool(self.readers) or self.error is not None

    @property
    def brings_trades(self) -> bool:
        """Whether it has new trades."""
        return any(file.is_trades and reader is not None for file, reader in self.readers.items())

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
    """Emits the spans that are not in the manifest, one after the other, as `(instrument key, item)`.

    A span is its klines, each file's after a `Coverage`; the trades of each file between two `Coverage`, which state
    what confirms that these were all; and last the `Span` itself, with the files that were found. A month that is not
    published is read by day. Stored spans next to a new one are read again: the ids of both show whether trades are
    missing between them. `Removed` follows the last span of a symbol when another symbol follows. `stop` ends the
    source between two batches.
    """

    def __init__(
        self,
        venue: str,
        spans: list[Span],
        get: GetFile,
        *,
        manifest: Manifest,
        watcher: Watcher,
        stop: threading.Event,
    ) -> None:
        self._venue = venue
        self._spans = spans
        self._get = get
        self._manifest = manifest
        self._watcher = watcher
        self._stop = stop
        self._incomplete: set[str] = set()

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
                removed = Removed("archive", (this.span.symbol,), (), is_gone=True)
                yield [(Instrument(self._venue, this.span.symbol).key, removed)]

    def _all_found(self, spans: list[Span]) -> Iterator[_Found]:
        """Opens the files of the spans, lazily, one span at a time."""
        for span in spans:
            new = [file for file in span.files if not self._manifest.holds(file, span)]
            try:
                readers = {file: self._get(file) for file in new}
            except ArchiveError as error:
                yield _Found(span, error=error)
                continue
            if any(file.is_month and reader is None for file, reader in readers.items()):
                yield from self._all_found(_by_day(span))
            else:
                yield _Found(span, readers)

    def _items_of(self, before: _Found | None, this: _Found, after: _Found | None) -> Iterator[list[Keyed]]:
        if not this.is_new:
            readers = self._read_again(before, this, after)
        elif this.span.symbol in self._incomplete:
            raise ArchiveError(f"{this.span.name} waits until what is before it can be read")
        else:
            readers = self._new(this)
        if readers:
            trades_follow = after is not None and (after.brings_trades or (this.brings_trades and not after.is_new))
            yield from self._read(this.span, readers, goes_on=trades_follow and this.is_followed_by(after))

    def _new(self, this: _Found) -> FileReaders:
        """The readers of a span with something new. `ArchiveError` when it cannot be used."""
        if this.error:
            raise this.error
        for file in (file for file, reader in this.readers.items() if reader is None):
            self._watcher.on_missing(file)
        found = {file: reader for file, reader in this.readers.items() if reader}
        return self._known(this) | found if found else {}

    def _read_again(self, before: _Found | None, this: _Found, after: _Found | None) -> FileReaders:
        """The readers of a stored span next to a new one; empty when it cannot be read, or no neighbour is new."""
        behind_new = before is not None and before.brings_trades and before.is_followed_by(this)
        before_new = after is not None and after.brings_trades and this.is_followed_by(after)
        if not (behind_new or before_new) or this.span.symbol in self._incomplete:
            return {}
        try:
            return self._known(this)
        except ArchiveError:
            return {}  # it is stored, so it is no failure

    def _known(self, this: _Found) -> FileReaders:
        known = {file: self._get(file) for file in this.span.files if file not in this.readers}
        return {file: reader for file, reader in known.items() if reader}

    def _read(self, span: Span, readers: FileReaders, *, goes_on: bool) -> Iterator[list[Keyed]]:
        files = [file for file in span.files if file in readers]
        trades = [file for file in files if file.is_trades]
        key = Instrument(self._venue, span.symbol).key
        for file in files:
            if not file.is_trades:
                self._watcher.on_file(file)
                if klines := readers[file].klines(*span.cut(file)):
                    yield [(key, _of_klines(span, file, readers[file])), (key, klines)]
        # After a failed read the rest would count as a gap, and candles would be stored without trades of that file.
        self._incomplete |= {span.symbol} if trades else set()
        for file, following in zip_longest(trades, trades[1:]):
            is_last = following is None
            follows = goes_on and file.end >= span.end if is_last else file.end == following.begin
            yield from self._trades(key, span, file, readers[file], goes_on=follows)
        self._incomplete.discard(span.symbol)
        if not trades or trades[-1].end < span.end:
            yield [(key, Coverage((span.symbol,), span.begin, span.end, span.name, has_trades=False, is_over=True))]
        read = tuple(structs.replace(file, begin=max(file.begin, readers[file].known_from)) for file in files)
        yield [(key, structs.replace(span, files=read))]

    def _trades(
        self, key: str, span: Span, file: ArchiveFile, reader: FileReader, *, goes_on: bool
    ) -> Iterator[list[Keyed]]:
        """The trades of one file, between two `Coverage`."""
        begin, end = span.part(file)
        begin = max(begin, reader.known_from)
        whole = Coverage(
            (span.symbol,), begin, end, file.name, vouched=reader.vouched, goes_on=goes_on, doubts=reader.doubts()
        )
        yield [(key, whole)]
        self._watcher.on_file(file)
        for batch in reader.trades(*span.cut(file)):
            self._watcher.on_trades(len(batch))
            yield [(key, batch)]
        yield [(key, structs.replace(whole, is_over=True))]


def _of_klines(span: Span, file: ArchiveFile, reader: FileReader) -> Coverage:
    """The coverage of a file of klines."""
    begin, end = span.part(file)
    vouched = reader.vouched
    return Coverage((span.symbol,), begin, end, file.name, has_trades=False, timeframe=file.kind, vouched=vouched)


def _with_neighbours(found: Iterator[_Found]) -> Iterator[tuple[_Found | None, _Found, _Found | None]]:
    """Each span with the one before and the one after it."""
    before, this = None, next(found, None)
    while this is not None:
        after = next(found, None)
        yield before, this, after
        before, this = this, after


def _by_day(span: Span) -> list[Span]:
    days = [day for file in span.files for day in (file.days() if file.is_month else [file])]
    return spans_of(days, span.begin, span.end)
