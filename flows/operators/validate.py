"""Step `validate`: what is well-formed but cannot be true is refused, and times become milliseconds.

The rules for single fields stand with the venue's wire types; here are those that hold between fields, for every venue.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from msgspec import json, structs

from flows.model import MARKET_FILL, AggregateTrade, BookTicker, Kline, MarketEvent, Rejected, Trade, timeframe_ms
from flows.operators.parse import Batch, Parsed

MICROSECONDS_FROM = 10**14
"""A time from here on counts microseconds: in milliseconds it would lie in the year 5138."""

_TIME_FIELDS = ("time", "event_time", "open_time", "close_time")


class Validate:
    """Refuses impossible events.

    A refused event is reported as JSON of the model, for its frame was shared with others and is no longer at hand.
    """

    def __init__(self) -> None:
        self._rules: dict[type, _Rule | None] = {}

    def __call__(self, items: list[Parsed]) -> list[Parsed]:
        """Batches without their refused events, in the same order; an empty batch is dropped."""
        out: list[Parsed] = []
        rules = self._rules
        for item in items:
            if type(item) is not Batch:
                out.append(item)
                continue
            last = item.events[-1]
            if last.event_time >= MICROSECONDS_FROM:
                item.events = [_in_milliseconds(event) for event in item.events]
            kind = type(last)
            rule = rules[kind] if kind in rules else self._rule_for(last)
            if rule:
                _refuse(item, rule, out)
            if item.events:
                out.append(item)
        return out

    def _rule_for(self, event: MarketEvent) -> "_Rule | None":
        """The rule of an event's type, which may be a venue's own subtype of a model type."""
        rule = next((rule for model, rule in _RULES.items() if isinstance(event, model)), None)
        self._rules[type(event)] = rule
        return rule


def _refuse(batch: Batch, rule: "_Rule", out: list[Parsed]) -> None:
    """Moves the impossible events of a batch to `out`."""
    reasons = [rule(event) for event in batch.events]
    if not any(reasons):
        return
    venue = batch.key.partition(":")[0]
    judged = list(zip(batch.events, reasons, strict=True))
    out.extend(Rejected(venue, reason, json.encode(event), 0) for event, reason in judged if reason)
    batch.events = [event for event, reason in judged if not reason]


def _in_milliseconds(event: MarketEvent) -> MarketEvent:
    changes = {
        name: value // 1_000
        for name in _TIME_FIELDS
        if isinstance(value := getattr(event, name, None), int) and value >= MICROSECONDS_FROM
    }
    return structs.replace(event, **changes)


def _reason_trade(trade: Trade) -> str:
    if trade.fill != MARKET_FILL:
        return ""  # futures report fills without a price; they keep their id and stay out of the candles
    return "" if trade.price and trade.quantity else "a trade on the market without a price or quantity"


def _reason_kline(kline: Kline) -> str:
    if not kline.low <= min(kline.open, kline.close) <= max(kline.open, kline.close) <= kline.high:
        return "a kline whose open or close lies outside low and high"
    try:
        length = timeframe_ms(kline.timeframe)
    except ValueError:
        return ""  # 3d, 1w and 1M exist at the venue, and no candle of ours is compared with them
    return "" if kline.open_time % length == 0 else "a kline that does not begin at its period's begin"


def _reason_book_ticker(ticker: BookTicker) -> str:
    crossed = ticker.ask_price and ticker.bid_price >= ticker.ask_price
    return "a book ticker whose bid is not below its ask" if crossed else ""


_Rule: TypeAlias = Callable[[Any], str]
"""Why an event cannot be true; empty when it can."""

_RULES: dict[type, _Rule | None] = {
    AggregateTrade: None,  # made of fills on the market only, and the wire types refuse a price or quantity of 0
    Trade: _reason_trade,
    Kline: _reason_kline,
    BookTicker: _reason_book_ticker,
}
"""The first that fits holds."""
