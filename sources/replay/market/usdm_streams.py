"""Streams of USD-M that carry all symbols: mark prices in one message, liquidations and quotes in one each."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from sources.replay.market.contracts import ContractSchedule
from sources.replay.market.market import Message, Wanted
from sources.replay.market.symbol_market import SymbolMarket

_MARKS: Final = {"!markPrice@arr@1s": 1, "!markPrice@arr": 3}
_LIQUIDATIONS: Final = "!forceOrder@arr"
_QUOTES: Final = "!bookTicker"
_QUOTES_S: Final = 5


class AllContracts:
    """The streams of all contracts of a market."""

    def __init__(self, contracts: Sequence[tuple[SymbolMarket, ContractSchedule]]) -> None:
        self._contracts = contracts
        self._shown: dict[str, bytes] = {}

    def on_second(self, now_ms: int, wanted: Wanted) -> Iterator[Message]:
        """The messages of this second of the streams that are wanted."""
        second = now_ms // 1_000
        for stream, every_s in _MARKS.items():
            if second % every_s == 0 and wanted(stream):
                marks = [mark for _, contract in self._contracts if (mark := contract.mark(now_ms))]
                yield Message(now_ms, stream, msgspec.json.encode(marks))
        if wanted(_LIQUIDATIONS):
            for _, contract in self._contracts:
                if order := contract.liquidation(now_ms):
                    yield Message(now_ms, _LIQUIDATIONS, msgspec.json.encode(order))
        if second % _QUOTES_S == 0 and wanted(_QUOTES):
            yield from self._quotes(now_ms)

    def _quotes(self, now_ms: int) -> Iterator[Message]:
        """Those that have changed since they were sent."""
        for market, _ in self._contracts:
            quote = market.quote(now_ms)
            if quote is not None and self._shown.get(market.encoder.symbol) != quote:
                self._shown[market.encoder.symbol] = quote
                yield Message(now_ms, _QUOTES, quote)
