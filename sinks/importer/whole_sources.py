"""The trades of sources that are vouched for and have all of a time, with what each says of trades that it lacks."""

from msgspec import Struct

from flows.model import AggregateTrade, Coverage, Trade, TradeBatch
from sinks.trades.contradictions import IdTime, SourceBatch, Whole


class _Reading(Struct):
    """A source that is being read, or was read last."""

    begin: int
    end: int
    newest: IdTime | None
    """Its newest trade; before its first one that of the source which ends where this one begins."""
    venue: str = ""
    first: Trade | None = None
    last: Trade | None = None
    has_aggregates: bool = False
    is_over: bool = False


class WholeSources:
    """Follows what is read of each symbol."""

    def __init__(self) -> None:
        self._readings: dict[str, _Reading] = {}

    def begin(self, coverage: Coverage) -> None:
        """Takes the coverage of a source of trades, which comes before these."""
        for symbol in coverage.symbols:
            known = self._readings.pop(symbol, None)
            if coverage.vouched == "all":
                is_continued = known is not None and known.is_over and known.end == coverage.begin
                newest = known.newest if known and is_continued else None
                self._readings[symbol] = _Reading(coverage.begin, coverage.end, newest)

    def marked(self, batch: TradeBatch) -> TradeBatch:
        """A batch as the store is to take it."""
        reading = self._readings.get(batch.symbol)
        if reading is None:
            return batch
        first, last = batch.trades[0], batch.trades[-1]
        after = reading.newest if reading.newest and reading.newest[0] < first.id else None
        reading.venue = batch.venue
        reading.has_aggregates |= _is_aggregate(first) or _is_aggregate(last)
        if reading.first is None or first.id < reading.first.id:
            reading.first = first
        if reading.last is None or last.id > reading.last.id:
            reading.last, reading.newest = last, (last.id, last.time)
        begin = batch.begin or first.time
        return SourceBatch(
            batch.venue,
            batch.symbol,
            batch.trades,
            batch.late,
            min(begin, after[1]) if after else begin,
            batch.end,
            batch.replaced,
            "checksum",
            after,
        )

    def end(self, coverage: Coverage) -> list[TradeBatch]:
        """Takes the end of a source: its first and its last trade once more, which say that they are. In between all
        are written, whatever batches they came in.
        """
        found: list[TradeBatch] = []
        for symbol in coverage.symbols:
            reading = self._readings.get(symbol)
            if reading is None or reading.is_over or not (reading.first and reading.last):
                continue
            reading.is_over = True
            first, last = ((trade.id, trade.time) for trade in (reading.first, reading.last))
            whole = Whole(reading.begin, reading.end, first, last, reading.has_aggregates)
            for trade, begin, end in (
                (reading.first, min(whole.begin, first[1]), first[1]),
                (reading.last, last[1], max(whole.end, last[1])),
            ):
                found.append(
                    SourceBatch(
                        reading.venue, symbol, [trade], begin=begin, end=end, vouched_by="checksum", whole=whole
                    )
                )
        return found


def _is_aggregate(trade: Trade) -> bool:
    return isinstance(trade, AggregateTrade) and not trade.id == trade.first_id == trade.last_id
