"""Files of the archive become a Bytewax source. Nothing else in this room knows the engine."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from msgspec import structs

from flows.model import Instrument, Whole
from sources.archive.names import ArchiveFile
from sources.archive.rows import ArchiveError, klines_of, trades_of

Keyed: TypeAlias = tuple[str, Any]
GetFile: TypeAlias = Callable[[ArchiveFile], Path | None]
"""The path of a file; None when it does not exist."""
OnTrades: TypeAlias = Callable[[ArchiveFile, int], None]
"""Called with a file and the trades of a batch; 0 when the file begins."""

OnFailure: TypeAlias = Callable[[ArchiveFile, ArchiveError], None]
"""Called with a file that cannot be used; the next one follows."""


class _Files(StatefulSourcePartition[Keyed, None]):
    def __init__(self, items: Iterator[list[Keyed]]) -> None:
        self._items = items

    def next_batch(self) -> list[Keyed]:
        return next(self._items)

    def next_awake(self) -> datetime | None:
        return None

    def snapshot(self) -> None:
        return None


class ArchiveSource(FixedPartitionedSource[Keyed, None]):
    """Files one after the other, as `(instrument key, trades, klines or Whole)`. Each file's trades stand between two
    `Whole`: the file holds all there were, so nothing is missing at its begin, and everything is over at its end.
    """

    def __init__(
        self, venue: str, files: list[ArchiveFile], get: GetFile, *, on_trades: OnTrades, on_failure: OnFailure
    ) -> None:
        self._venue = venue
        self._files = files
        self._get = get
        self._on_trades = on_trades
        self._on_failure = on_failure

    def list_parts(self) -> list[str]:
        """Called by the engine."""
        return ["archive"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _Files:
        """Called by the engine."""
        return _Files(self._items())

    def _items(self) -> Iterator[list[Keyed]]:
        for file in self._files:
            try:
                yield from self._items_of(file)
            except ArchiveError as error:
                self._on_failure(file, error)

    def _items_of(self, file: ArchiveFile) -> Iterator[list[Keyed]]:
        path = self._get(file)
        if path is None:
            return
        self._on_trades(file, 0)
        key = Instrument(self._venue, file.symbol).key
        whole = Whole((file.symbol,), file.begin, file.end, file.name, file.is_trades)
        over = structs.replace(whole, is_over=True)
        if not file.is_trades:
            yield [(key, klines_of(file, path)), (key, over)]
            return
        batches = trades_of(file, path)
        yield [(key, whole)]
        for trades in batches:
            self._on_trades(file, len(trades))
            yield [(key, trades)]
        yield [(key, over)]
