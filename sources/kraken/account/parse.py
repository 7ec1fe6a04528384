"""What Kraken's answers and messages about an account mean. Pure; nothing of a frame escapes in a text."""

from collections.abc import Callable, Iterable, Mapping
from decimal import Context, Decimal
from typing import Final

import msgspec

from flows.foreign import quoted
from flows.model.account import (
    AccountEvent,
    AccountReport,
    AccountUpdate,
    BalanceChange,
    BalanceReport,
    PositionReport,
)
from sources.account import ParsedAccount, Right, parsed
from sources.account_numbers import AccountNumbers
from sources.kraken.account import wire
from sources.kraken.names import Times, asset_of_rest

_READ: Final = frozenset(
    ("query-funds", "query-open-trades", "query-closed-trades", "query-ledger", "export-data", "create-ws-token")
)
"""What a key may do that only reads."""
_POWERS: Final[Mapping[str, Right]] = {
    "modify-trades": "trade",
    "close-trades": "trade",
    "withdraw-funds": "withdraw",
    "add-withdraw-address": "withdraw",
    "update-withdraw-address": "withdraw",
}
_SESSION: Final = ("ESession", "token", "Token")
"""Words of an error after which a new token helps."""
_BALANCES = msgspec.json.Decoder(wire.Balances)
_REPLY = msgspec.json.Decoder(wire.Reply)
_PRICE_DIGITS: Final = Decimal("1e-10")
"""Digits of a price that is computed."""
_WIDE: Final = Context(prec=100)


class AccountParser:
    """Parses the frames of a private stream. Its state is the last number, and a cache of times."""

    def __init__(self) -> None:
        self._times = Times()
        self._numbers = AccountNumbers()

    def begin(self) -> None:
        """A new connection."""
        self._numbers.begin()

    def parse(self, frame: bytes) -> ParsedAccount:
        """What a frame means; never raises."""
        return parsed(frame, self._reports)

    def _reports(self, frame: bytes) -> Iterable[AccountReport]:
        reply = _REPLY.decode(frame)
        return self._balances(_BALANCES.decode(frame)) if reply.channel == "balances" else _events_of(reply)

    def _balances(self, message: wire.Balances) -> Iterable[AccountReport]:
        """Of a change only that there is one: what orders hold is in no message, so the balances are queried."""
        number = self._numbers.take(message.sequence)
        if isinstance(number, AccountEvent):
            yield number
        if isinstance(message, wire.BalancesSnapshot) or not number:
            return
        changes = tuple(BalanceChange(row.asset, row.amount - row.fee) for row in message.data)
        time = max((self._times.micros(row.timestamp) // 1_000 for row in message.data), default=0)
        yield AccountUpdate(time, changes=changes, sequence=message.sequence)
        yield AccountEvent("trigger", time=time)


def _events_of(reply: wire.Reply) -> tuple[AccountEvent, ...]:
    if reply.channel == "heartbeat":
        return (AccountEvent("alive"),)
    if reply.method == "subscribe" and reply.success:
        return (AccountEvent("opened"),)
    if reply.error is None or reply.method == "unsubscribe":
        return ()
    return (refusal_of(reply.error),)


def refusal_of(error: str) -> AccountEvent:
    """What it means that the private stream is refused."""
    words = quoted(error)
    if any(word in error for word in _SESSION):
        return AccountEvent("expired", f"the token of the stream is not valid any more: {words}")
    if "Try ws-auth" in error:
        return AccountEvent("refused", f"accounts_ws_url is not an address of private streams: {words}")
    if "ermission" in error:
        return AccountEvent("refused", f"the key lacks the right WebSocket interface: {words}")
    return AccountEvent("closed", f"the stream is refused: {words}")


# --- answers of REST


def powers_of(permissions: Iterable[str]) -> frozenset[Right]:
    """What a key may do besides reading; a permission that is not known counts as one to transfer."""
    return frozenset(_POWERS.get(one, "transfer") for one in permissions if one not in _READ)


def balances_of(rows: Mapping[str, wire.ExtendedBalance]) -> tuple[BalanceReport, ...]:
    """The balances that are not zero; `ArithmeticError` for amounts that cannot be. A form of an asset that earns keeps
    its name, as `BTC.B`: it cannot be traded.
    """
    found = []
    for name, row in rows.items():
        locked = row.hold_trade
        free = row.balance + row.credit - row.credit_used - locked
        if free or locked:
            found.append(BalanceReport(asset_of_rest(name), free, locked))
    return tuple(found)


def positions_of(rows: Iterable[wire.PositionRow], symbol_of: Callable[[str], str]) -> tuple[PositionReport, ...]:
    """The positions by pair and side, of which the venue has a row for each order that opened one. `ArithmeticError`
    for numbers that cannot be.
    """
    by_place: dict[tuple[str, str], list[wire.PositionRow]] = {}
    for row in rows:
        if row.vol_closed < row.vol:
            by_place.setdefault((row.pair, row.type), []).append(row)
    return tuple(_position(symbol_of(pair), kind, group) for (pair, kind), group in by_place.items())


def _position(symbol: str, kind: str, rows: list[wire.PositionRow]) -> PositionReport:
    quantity = sum((row.vol - row.vol_closed for row in rows), Decimal(0))
    cost = sum((row.cost * (row.vol - row.vol_closed) / row.vol for row in rows), Decimal(0))
    margin = sum((row.margin for row in rows), Decimal(0))
    whole = sum((row.cost for row in rows), Decimal(0))
    nets, values = [row.net for row in rows], [row.value for row in rows]
    value = sum((one for one in values if one is not None), Decimal(0))
    return PositionReport(
        symbol,
        "LONG" if kind == "buy" else "SHORT",
        quantity,
        entry_price=_price(cost / quantity),
        mark_price=None if None in values else _price(abs(value) / quantity),
        unrealised_pnl=None if None in nets else sum((one for one in nets if one is not None), Decimal(0)),
        leverage=int((whole / margin).to_integral_value()) if margin else None,
        margin_type="cross",
    )


def _price(value: Decimal) -> Decimal:
    """A price that was computed, with the digits that it needs."""
    return Decimal(f"{value.quantize(_PRICE_DIGITS, context=_WIDE).normalize(_WIDE):f}")
