"""nautilus_trader: its decoder and trade of Binance's messages, and its own aggregation of six bars.

Its engine, cache and message bus are left out, and its bars do not close: both spare it work.
"""

from typing import Any

import msgspec
from nautilus_trader.adapters.binance.common.schemas.market import BinanceAggregatedTradeMsg
from nautilus_trader.common.component import TestClock
from nautilus_trader.data.aggregation import TimeBarAggregator
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import BarType
from nautilus_trader.model.identifiers import InstrumentId, Symbol
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Price, Quantity
from turns import frames, serve

BARS = ("1-MINUTE", "5-MINUTE", "15-MINUTE", "1-HOUR", "4-HOUR", "1-DAY")


def nothing(_: Any) -> None:
    """What is done with a closed bar."""


def aggregators_of(symbol: str) -> tuple[Any, list[Any]]:
    """Id and aggregators of an instrument."""
    name = InstrumentId.from_str(f"{symbol}.BINANCE")
    step = "0.00000001"
    pair = CurrencyPair(
        instrument_id=name, raw_symbol=Symbol(symbol), base_currency=BTC, quote_currency=USDT, price_precision=8,
        size_precision=8, price_increment=Price.from_str(step), size_increment=Quantity.from_str(step), ts_event=0,
        ts_init=0,
    )  # fmt: skip
    kinds = [BarType.from_str(f"{name}-{bar}-LAST-INTERNAL") for bar in BARS]
    return name, [TimeBarAggregator(pair, kind, nothing, TestClock()) for kind in kinds]


def main() -> None:
    """Takes turns."""
    payloads = frames()
    decode = msgspec.json.Decoder(BinanceAggregatedTradeMsg).decode
    known = {symbol: aggregators_of(symbol) for symbol in sorted({decode(payload).data.s for payload in payloads})}

    def take_all() -> None:
        for payload in payloads:
            trade = decode(payload).data
            name, aggregators = known[trade.s]
            tick = trade.parse_to_trade_tick(name)
            for aggregator in aggregators:
                aggregator.handle_trade_tick(tick)

    serve("nautilus_trader", take_all)


if __name__ == "__main__":
    main()
