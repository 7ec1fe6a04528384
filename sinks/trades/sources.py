"""Batches of trades that are written together, by what vouches for them, and their records."""

import struct
from collections.abc import Callable, Iterable, Sequence

import structlog
from msgspec import Struct

from flows.model import Trade, TradeBatch, Voucher
from sinks.trades.codec import MINUTE_MS, TradeColumns, encode_periods
from sinks.trades.record_checks import are_sound, refusal_of

log = structlog.get_logger(__name__)


class Source(Struct):
    """Batches of a symbol that follow each other, with the same voucher."""

    symbol: str
    voucher: Voucher
    batches: list[TradeBatch]
    trades: list[Trade]
    """Without those that another batch replaces."""


def by_source(batches: Iterable[TradeBatch]) -> list[Source]:
    """The batches in their order, those of a symbol together as long as the same vouches for them."""
    sources: list[Source] = []
    newest: dict[str, Source] = {}
    for batch in batches:
        source = newest.get(batch.symbol)
        if source is None or source.voucher != batch.vouched_by:
            source = newest[batch.symbol] = Source(batch.symbol, batch.vouched_by, [], [])
            sources.append(source)
        for one in sources if batch.replaced else ():
            if (one.symbol, one.voucher) == (batch.symbol, batch.vouched_by):
                one.trades = [trade for trade in one.trades if trade not in batch.replaced]
        source.batches.append(batch)
        source.trades += batch.trades
    return sources


def encoded(sources: Sequence[Source], record_ms: int) -> list[dict[int, TradeColumns]]:
    """The records of the trades of each source, without those that cannot be: a record with one could not be read."""

    def encode(is_possible: Callable[[str, Trade], bool] | None) -> list[dict[int, TradeColumns]]:
        found = []
        for source in sources:
            possible = source.trades
            if is_possible is not None:
                possible = [trade for trade in source.trades if is_possible(source.symbol, trade)]
            found.append(encode_periods(possible, length_ms=MINUTE_MS if source.voucher else record_ms))
        return found

    try:
        found = encode(None)
    except (struct.error, TypeError, ValueError, OverflowError):
        return encode(_is_possible)
    records = [record for periods in found for record in periods.items()]
    # all at once: a check of a few trades costs as much as one of thousands
    are_possible = are_sound([start for start, _ in records], [columns for _, columns in records])
    return found if are_possible else encode(_is_possible)


def _is_possible(symbol: str, trade: Trade) -> bool:
    if reason := refusal_of(trade):
        log.error("trade_refused", symbol=symbol, trade=trade, reason=reason)
    return not reason
