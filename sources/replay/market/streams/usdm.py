"""Streams of USD-M that carry all symbols: mark prices in one message, liquidations, quotes and changes of contracts in
one each.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from sources.replay.market.contracts import ContractSchedule
from sources.replay.market.exchange_info import STATUSES, contract_dates
from sources.replay.market.lives import State
from sources.replay.market.market import Message, Wanted
from sources.replay.market.symbol_market import SymbolMarket

_MARKS: Final = {"!markPrice@arr@1s": 1, "!markPrice@arr": 3}
_LIQUIDATIONS: Final = "!forceOrder@arr"
_QUOTES: Final = "!bookTicker"
_QUOTES_S: Final = 5
_CONTRACTS: Final = "!contractInfo"


class AllContracts:
    """The streams of all contracts of a market."""

    def __init__(self, contracts: Sequence[tuple[SymbolMarket, ContractSchedule]]) -> None:
        self._contracts = contracts
        self._shown: dict[str, bytes] = {}
        self._states: dict[str, State] = {}

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
        changed = self._changed(now_ms)
        if wanted(_CONTRACTS):
            for market in changed:
                yield Message(now_ms, _CONTRACTS, msgspec.json.encode(_contract(market, now_ms)))

    def _changed(self, now_ms: int) -> list[SymbolMarket]:
        """The contracts whose state is another one than a second ago."""
        states = {market.encoder.symbol: market.life.state(now_ms) for market, _ in self._contracts}
        before, self._states = self._states or states, states
        return [market for market, _ in self._contracts if states[(name := market.encoder.symbol)] is not before[name]]

    def _quotes(self, now_ms: int) -> Iterator[Message]:
        """Those that have changed since they were sent."""
        for market, _ in self._contracts:
            quote = market.quote(now_ms)
            if quote is not None and self._shown.get(market.encoder.symbol) != quote:
                self._shown[market.encoder.symbol] = quote
                yield Message(now_ms, _QUOTES, quote)


def _contract(market: SymbolMarket, now_ms: int) -> dict[str, Any]:
    """The `contractInfo` payload, without brackets."""
    encoder, life = market.encoder, market.life
    onboard_ms, delivery_ms = contract_dates(life, now_ms)
    return {
        "e": "contractInfo",
        "E": now_ms,
        "s": encoder.symbol,
        "ps": encoder.pair,
        "ct": "PERPETUAL",
        "dt": delivery_ms,
        "ot": onboard_ms,
        "cs": STATUSES["usdm"][life.state(now_ms)],
    }
