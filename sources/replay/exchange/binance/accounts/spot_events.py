"""The events of spot's user stream. Source: `user-data-stream`."""

import re
from collections.abc import Iterable
from typing import Any

from sources.replay.accounts.amounts import ZERO, text
from sources.replay.accounts.spot import SpotAccount, SpotTrade

_USER = "user:"
_TIMES = re.compile(rb'("[ETWu]":\d{13})(?!\d)')


def user_stream(account: str) -> str:
    """The name of an account's events among the streams of the exchange; no client can subscribe it by that."""
    return f"{_USER}{account}"


def is_user_stream(stream: str) -> bool:
    """Whether a stream is one of an account."""
    return stream.startswith(_USER)


def in_microseconds(event: bytes) -> bytes:
    """An event of an account with every time in microseconds."""
    return _TIMES.sub(rb"\g<1>000", event)


def position(account: SpotAccount, assets: Iterable[str], now_ms: int) -> Any:
    """`outboundAccountPosition`: what an account has of assets that may have changed."""
    balances = [(asset, account.balance(asset)) for asset in dict.fromkeys(assets)]
    rows = [{"a": asset, "f": text(balance.free), "l": text(balance.locked)} for asset, balance in balances]
    return {"e": "outboundAccountPosition", "E": now_ms, "u": account.updated_ms, "B": rows}


def balance_update(asset: str, amount: Any, now_ms: int) -> Any:
    """`balanceUpdate`: a deposit, withdrawal or transfer."""
    return {"e": "balanceUpdate", "E": now_ms, "a": asset, "d": text(amount), "T": now_ms}


def lock_update(asset: str, amount: Any, now_ms: int) -> Any:
    """`externalLockUpdate`: what is locked by others than orders."""
    return {"e": "externalLockUpdate", "E": now_ms, "a": asset, "d": text(amount), "T": now_ms}


def terminated(now_ms: int) -> Any:
    """`eventStreamTerminated`."""
    return {"e": "eventStreamTerminated", "E": now_ms}


def execution_report(trade: SpotTrade, now_ms: int, *, is_done: bool) -> Any:
    """`executionReport` of an order: as it is accepted, or as it is filled (`is_done`)."""
    done_quantity, done_value = (trade.quantity, trade.value) if is_done else (ZERO, ZERO)
    return {
        "e": "executionReport",
        "E": now_ms,
        "s": trade.symbol,
        "c": f"replay-{trade.order_id}",
        "S": trade.side,
        "o": "LIMIT" if trade.is_maker else "MARKET",
        "f": "GTC",
        "q": text(trade.quantity),
        "p": text(trade.price if trade.is_maker else ZERO),
        "P": text(ZERO),
        "F": text(ZERO),
        "g": -1,
        "C": "",
        "x": "TRADE" if is_done else "NEW",
        "X": "FILLED" if is_done else "NEW",
        "r": "NONE",
        "i": trade.order_id,
        "l": text(done_quantity),
        "z": text(done_quantity),
        "L": text(trade.price if is_done else ZERO),
        "n": text(trade.commission if is_done else ZERO),
        "N": trade.commission_asset if is_done else None,
        "T": trade.time_ms,
        "t": trade.trade_id if is_done else -1,
        "I": 2 * trade.order_id + is_done,
        "w": not is_done,
        "m": trade.is_maker and is_done,
        "M": is_done,
        "O": trade.time_ms,
        "Z": text(done_value),
        "Y": text(done_value),
        "Q": text(ZERO),
        "W": trade.time_ms,
        "V": "EXPIRE_MAKER",
    }
