"""The events of USD-M's user stream. Source: Binance's USD-M connector, `user-data-streams`."""

from collections.abc import Iterable
from typing import Any

from sources.replay.accounts.amounts import plain, text
from sources.replay.accounts.margins import Marks, PositionMargins, margins_of
from sources.replay.accounts.usdm import Change, UsdmAccount, UsdmTrade

_ORDER_TYPES = {False: "MARKET", True: "LIMIT"}


def account_update(account: UsdmAccount, change: Change, marks: Marks, now_ms: int, *, symbol: str = "") -> Any:
    """`ACCOUNT_UPDATE` of a change: wallet and positions that it may have changed; `symbol`: of a funding."""
    positions = [_position(margins_of(account, place, marks[place.symbol])) for place in change.places]
    update: dict[str, Any] = {"m": change.reason, "B": [_wallet(account, change)], "P": positions}
    if symbol:
        update["S"] = symbol
    return {"e": "ACCOUNT_UPDATE", "E": now_ms, "T": now_ms, "a": update}


def wallet_update(account: UsdmAccount, change: Change, trade: UsdmTrade, marks: Marks, now_ms: int) -> Any:
    """`ACCOUNT_UPDATE` of a fill, with the wallet of the commission besides."""
    event = account_update(account, change, marks, now_ms)
    if trade.commission_asset != change.asset:
        event["a"]["B"].append(_wallet(account, change._replace(asset=trade.commission_asset)))
    return event


def _wallet(account: UsdmAccount, change: Change) -> dict[str, str]:
    return {
        "a": change.asset,
        "wb": text(account.wallet(change.asset)),
        "cw": text(account.cross_wallet(change.asset)),
        "bc": plain(change.by),
    }


def _position(one: PositionMargins) -> dict[str, str]:
    position = one.position
    return {
        "s": one.place.symbol,
        "pa": plain(position.amount),
        "ep": plain(position.entry_price),
        "bep": plain(position.break_even_price),
        "cr": plain(position.realized),
        "up": text(one.unrealized),
        "mt": "isolated" if one.contract.is_isolated else "cross",
        "iw": plain(position.isolated),
        "ps": one.place.side,
    }


def leverage_update(symbol: str, leverage: int, now_ms: int) -> Any:
    """`ACCOUNT_CONFIG_UPDATE` of a contract."""
    return {"e": "ACCOUNT_CONFIG_UPDATE", "E": now_ms, "T": now_ms, "ac": {"s": symbol, "l": leverage}}


def assets_mode_update(*, is_multi_asset: bool, now_ms: int) -> Any:
    """`ACCOUNT_CONFIG_UPDATE` of the account."""
    return {"e": "ACCOUNT_CONFIG_UPDATE", "E": now_ms, "T": now_ms, "ai": {"j": is_multi_asset}}


def margin_call(account: UsdmAccount, held: Iterable[PositionMargins], now_ms: int) -> Any:
    """`MARGIN_CALL` of positions; the cross wallet is named where one of them lives by it."""
    rows = list(held)
    event: dict[str, Any] = {"e": "MARGIN_CALL", "E": now_ms}
    cross = next((one.contract.margin_asset for one in rows if not one.contract.is_isolated), None)
    if cross is not None:
        event["cw"] = plain(account.cross_wallet(cross))
    event["p"] = [
        {
            "s": one.place.symbol,
            "ps": one.place.side,
            "pa": plain(one.position.amount),
            "mt": "ISOLATED" if one.contract.is_isolated else "CROSSED",
            "iw": plain(one.position.isolated),
            "mp": plain(one.mark),
            "up": plain(one.unrealized),
            "mm": plain(one.maintenance),
        }
        for one in rows
    ]
    return event


def listen_key_expired(listen_key: str, now_ms: int) -> Any:
    """`listenKeyExpired`."""
    return {"e": "listenKeyExpired", "E": now_ms, "listenKey": listen_key}


def trade_lite(trade: UsdmTrade, now_ms: int) -> Any:
    """`TRADE_LITE`: the earlier and smaller notice of a fill."""
    return {
        "e": "TRADE_LITE",
        "E": now_ms,
        "T": trade.time_ms,
        "s": trade.place.symbol,
        "q": plain(trade.quantity),
        "p": "0",
        "m": trade.is_maker,
        "c": client_id(trade, is_forced=False),
        "S": trade.side,
        "L": plain(trade.price),
        "l": plain(trade.quantity),
        "t": trade.trade_id,
        "i": trade.order_id,
    }


def client_id(trade: UsdmTrade, *, is_forced: bool) -> str:
    """The client's id of the order; of a liquidation the exchange's."""
    return f"autoclose-{trade.time_ms}{trade.order_id}" if is_forced else f"replay-{trade.order_id}"


def order_update(trade: UsdmTrade, now_ms: int, *, is_done: bool, is_forced: bool = False, closes: bool = False) -> Any:
    """`ORDER_TRADE_UPDATE` of an order: as it is accepted, or as it is filled (`is_done`). `is_forced`: a
    liquidation. `closes`: it can only make a position smaller.
    """
    kind = "LIQUIDATION" if is_forced else _ORDER_TYPES[trade.is_maker]
    done = "CALCULATED" if is_forced else "TRADE"
    quantity, price, nothing = plain(trade.quantity), plain(trade.price), "0"
    limit = price if trade.is_maker else nothing
    order = {
        "s": trade.place.symbol,
        "c": client_id(trade, is_forced=is_forced),
        "S": trade.side,
        "o": kind,
        "f": "IOC" if is_forced else "GTC",
        "q": quantity,
        "p": limit,
        "ap": price if is_done else nothing,
        "sp": nothing,
        "x": done if is_done else "NEW",
        "X": "FILLED" if is_done else "NEW",
        "i": trade.order_id,
        "l": quantity if is_done else nothing,
        "z": quantity if is_done else nothing,
        "L": price if is_done else nothing,
        **({"N": trade.commission_asset, "n": plain(trade.commission)} if is_done else {}),
        "T": trade.time_ms,
        "t": trade.trade_id if is_done else 0,
        "b": nothing,
        "a": nothing,
        "m": trade.is_maker and is_done,
        "R": closes,
        "wt": "CONTRACT_PRICE",
        "ot": kind,
        "ps": trade.place.side,
        "cp": False,
        "rp": plain(trade.realized) if is_done else nothing,
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": "EXPIRE_MAKER",
        "pm": "NONE",
        "gtd": 0,
        "er": nothing,
    }
    return {"e": "ORDER_TRADE_UPDATE", "E": now_ms, "T": trade.time_ms, "o": order}
