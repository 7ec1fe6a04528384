"""The messages of the channel `balances`. Amounts are JSON numbers with all their digits.

Source: docs.kraken.com, WebSocket v2, `balances`.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from sources.replay.accounts.amounts import ZERO
from sources.replay.accounts.spot import Balance, SpotTrade
from sources.replay.protocol.conversation import Numbered
from sources.replay.venues.times import rfc3339

CHANNEL: Final = "balances"
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_END = b"]}"


def stream_of(account: str) -> str:
    """The name of an account's changes among the streams of the exchange; no client can subscribe it by that."""
    return f"{CHANNEL}:{account}"


class BalancesEncoding(Numbered):
    """The frames of one private connection: the messages of `balances` are numbered from 1, others are not."""

    first = 1

    def numbers(self, stream: str) -> bool:
        """Whether messages of a stream are numbered."""
        return stream.startswith(f"{CHANNEL}:")

    def payload(self, data: bytes, number: int) -> bytes:
        """A message with its number."""
        return b'%b],"sequence":%d}' % (data.removesuffix(_END), number) if data.endswith(_END) else data


class Entry(NamedTuple):
    """A change of an asset; the fee is taken besides."""

    kind: str
    asset: str
    amount: Decimal
    fee: Decimal = ZERO


def of_trade(trade: SpotTrade, base: str, quote: str) -> list[Entry]:
    """The entries of a fill: of both assets, and of a third one that pays the fee."""
    sign = 1 if trade.side == "BUY" else -1
    amounts = {base: sign * trade.quantity, quote: -sign * trade.value}
    amounts.setdefault(trade.commission_asset, ZERO)
    return [
        Entry("trade", asset, amount, trade.commission if asset == trade.commission_asset else ZERO)
        for asset, amount in amounts.items()
    ]


def update(entries: Iterable[Entry], balances: Mapping[str, Balance], number: int, now_ms: int) -> bytes:
    """A message of entries that belong together; `number` is that of the first."""
    rows: list[dict[str, Any]] = [
        {
            "ledger_id": f"LREPLA-YYYYY-{number + place:06}",
            "ref_id": f"TREPLA-YYYYY-{number:06}",
            "timestamp": rfc3339(now_ms),
            "type": entry.kind,
            "subtype": "",
            "asset": entry.asset,
            "asset_class": "currency",
            "wallet_type": "spot",
            "wallet_id": "main",
            "amount": entry.amount,
            "fee": entry.fee,
            "balance": _total(balances.get(entry.asset, Balance())),
        }
        for place, entry in enumerate(entries)
    ]
    return _message("update", rows)


def snapshot(balances: Mapping[str, Balance]) -> bytes:
    """What there is of every asset."""
    rows = [
        {
            "asset": asset,
            "asset_class": "currency",
            "balance": _total(balance),
            "wallets": [{"type": "spot", "id": "main", "balance": _total(balance)}],
        }
        for asset, balance in balances.items()
        if any(balance)
    ]
    return _message("snapshot", rows)


def _total(balance: Balance) -> Decimal:
    return balance.free + balance.locked


def _message(kind: str, rows: list[dict[str, Any]]) -> bytes:
    return _ENCODER.encode({"channel": CHANNEL, "type": kind, "data": rows})
