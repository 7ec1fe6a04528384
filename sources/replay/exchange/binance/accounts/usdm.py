"""USD-M accounts: what operators order of them, their listen keys, and the events of their user streams."""

import asyncio
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

import msgspec

from sources.replay.accounts.amounts import text
from sources.replay.accounts.listen_keys import ListenKeys, stream_of
from sources.replay.accounts.margins import open_margins
from sources.replay.accounts.opened import OpenedAccounts
from sources.replay.accounts.orders import (
    ORDERS,
    AnyOrder,
    Deposit,
    Fill,
    Funding,
    Leverage,
    Liquidate,
    Lock,
    Margin,
    MarginCall,
    MarginType,
    MultiAssets,
    Open,
    Order,
    PositionMode,
    Tokens,
    Transfer,
    Withdraw,
)
from sources.replay.accounts.orders import ListenKeys as ListenKeysLife
from sources.replay.accounts.usdm import Change, Place, UsdmAccount
from sources.replay.exchange.binance.accounts import usdm_events as events
from sources.replay.exchange.binance.accounts.endpoint import Access, AccountEndpoint, KeyEndpoints
from sources.replay.exchange.binance.accounts.usdm_rest import UsdmAccountRest
from sources.replay.exchange.binance.accounts.usdm_settings import UsdmSettingsRest
from sources.replay.exchange.binance.parameters import ApiError, Parameters
from sources.replay.exchange.binance.rest import Answer
from sources.replay.exchange.binance.usdm_contracts import marks_of
from sources.replay.exchange.dialect import AccountsView
from sources.replay.market.contracts import FUNDING_MS, Contract
from sources.replay.market.exchange_info import split_symbol
from sources.replay.market.market import Message

DEMO_BALANCES: Final = {"USDT": Decimal(100_000)}
"""What the demo account begins with."""
_LOOK_S = 0.05
"""How often it is looked whether a listen key has expired or funding is due, while there is a key or a position."""


class UsdmAccounts(OpenedAccounts[UsdmAccount]):
    """The USD-M accounts of an exchange."""

    def __init__(self, view: AccountsView) -> None:
        self._view = view
        demo = UsdmAccount(self._margin_assets, DEMO_BALANCES, opened_ms=view.now_ms)
        super().__init__(demo, lambda: UsdmAccount(self._margin_assets))
        self._listen_keys = ListenKeys()
        self._is_watched = False
        self._funded_ms = _funding_before(view.true_ms)
        self.orders: tuple[type[Order], ...] = tuple(kind for kind in ORDERS if kind not in (Lock, Tokens))
        """The kinds of orders that there are for them."""
        self.endpoints = {
            **UsdmAccountRest(self._accounts, self._margin_assets, view, self.marks).endpoints,
            **UsdmSettingsRest(self._accounts, view, self.execute).endpoints,
            ("POST", "/fapi/v1/listenKey"): AccountEndpoint(self._open_key, access=Access.KEY),
            ("PUT", "/fapi/v1/listenKey"): AccountEndpoint(self._keep_key, access=Access.KEY),
            ("DELETE", "/fapi/v1/listenKey"): AccountEndpoint(self._close_key, access=Access.KEY),
        }
        """By method and path."""
        self.of_keys: KeyEndpoints = {}
        """None: what a key may do, spot says."""

    def _margin_assets(self) -> dict[str, str]:
        rows = self._view.market.exchange_info()
        return {row["symbol"]: row.get("marginAsset") or split_symbol(row["symbol"])[1] for row in rows}

    def report(self, account: str) -> dict[str, Any]:
        """An account's part of the state."""
        held = self._accounts[account]
        positions = open_margins(held, self.marks(place.symbol for place in held.positions))
        return {
            "wallets": {asset: text(wallet.balance) for asset, wallet in held.wallets.items()},
            "cross_wallets": {asset: text(held.cross_wallet(asset)) for asset in held.wallets},
            "positions": [
                {
                    "symbol": one.place.symbol,
                    "position_side": one.place.side,
                    "amount": text(one.position.amount),
                    "entry_price": text(one.position.entry_price),
                    "unrealized": text(one.unrealized),
                    "leverage": one.contract.leverage,
                    "margin_type": "isolated" if one.contract.is_isolated else "cross",
                }
                for one in positions
            ],
            "listen_key": self._listen_keys.get(account),
        }

    def marks(self, symbols: Iterable[str]) -> dict[str, Decimal]:
        """The mark prices of contracts."""
        return {symbol: Decimal(marks_of(self._view, symbol)[0]) for symbol in dict.fromkeys(symbols)}

    # --- orders ------------------------------------------------------------------------------------------------------

    def execute(self, order: AnyOrder) -> None:
        """Executes an order and sends its events; `ValueError` when it cannot be, and then nothing is changed."""
        if isinstance(order, Open):
            self.open(order.account)
            return
        if isinstance(order, ListenKeysLife):
            self._listen_keys.life_ms = order.life_ms
            return
        self._fund()
        self._send(order.account, self._execute(self._named(order.account), order, self._view.true_ms))
        self._begin_watch()

    def _execute(self, account: UsdmAccount, order: AnyOrder, now_ms: int) -> list[Any]:
        """The events of an order."""
        match order:
            case Fill():
                sent = self._fill(account, order, now_ms)
            case Funding():
                sent = self._settle(account, order.symbol, order.rate, now_ms)
            case MarginCall():
                sent = [self._warn(account, order.symbol, now_ms)]
            case Liquidate():
                sent = self._liquidate(account, order, now_ms)
            case Leverage():
                account.set_leverage(order.symbol, order.leverage)
                sent = [events.leverage_update(order.symbol, order.leverage, now_ms)]
            case MultiAssets():
                account.is_multi_asset = order.on
                sent = [events.assets_mode_update(is_multi_asset=order.on, now_ms=now_ms)]
            case PositionMode():
                account.set_sides(has_sides=order.both_sides)
                sent = []  # as the exchange
            case _:
                sent = [self._update(account, self._change(account, order, now_ms), now_ms)]
        return sent

    def _change(self, account: UsdmAccount, order: AnyOrder, now_ms: int) -> Change:
        match order:
            case Deposit():
                return account.move(order.asset, order.amount, "DEPOSIT", now_ms)
            case Withdraw():
                return account.move(order.asset, -order.amount, "WITHDRAW", now_ms)
            case Transfer():
                return account.move(order.asset, order.amount, "ASSET_TRANSFER", now_ms)
            case MarginType():
                return account.set_isolated(order.symbol, is_isolated=order.isolated)
            case Margin():
                return account.move_margin(Place(order.symbol, order.position_side), order.amount, now_ms)
            case _:
                raise ValueError("USD-M has no such order")

    def _fill(self, account: UsdmAccount, order: Fill, now_ms: int) -> list[Any]:
        account.contract(order.symbol)
        price = order.price or Decimal(self._view.market.ticker(order.symbol)["lastPrice"])
        place = Place(order.symbol, order.position_side)
        before = account.position(place)
        trade, change = account.fill(
            place,
            order.side,
            quantity=order.quantity,
            price=price,
            commission=order.commission,
            commission_asset=order.commission_asset,
            is_maker=order.maker,
            at_ms=now_ms,
        )
        closes = before.sign * (1 if order.side == "BUY" else -1) < 0 and order.quantity <= abs(before.amount)
        return [
            events.order_update(trade, now_ms, is_done=False, closes=closes),
            events.trade_lite(trade, now_ms),
            events.wallet_update(account, change, trade, self.marks([order.symbol]), now_ms),
            events.order_update(trade, now_ms, is_done=True, closes=closes),
        ]

    def _settle(self, account: UsdmAccount, symbol: str, rate: Decimal | None, now_ms: int) -> list[Any]:
        """Funding of a contract; without a rate, the one of the first payment at or after a time."""
        marks = self._marks_of_position(account, symbol)
        paid = Decimal(Contract(symbol).rate(now_ms)) if rate is None else rate
        held = [one for one in open_margins(account, marks) if one.place.symbol == symbol]
        changes = [account.pay_funding(one.place, marks[symbol], paid, now_ms) for one in held]
        return [events.account_update(account, change, marks, now_ms, symbol=symbol) for change in changes]

    def _fund(self) -> None:
        """Settles the funding of all positions at each time of payment that has come, at the mark prices of now."""
        last_ms = _funding_before(self._view.true_ms)
        while self._funded_ms < last_ms:
            self._funded_ms = self._funded_ms + FUNDING_MS if self._has_positions() else last_ms
            for name, account in self._accounts.items():
                for symbol in dict.fromkeys(place.symbol for place, one in account.positions.items() if one.amount):
                    self._send(name, self._settle(account, symbol, None, self._funded_ms))

    def _has_positions(self) -> bool:
        return any(one.amount for account in self._accounts.values() for one in account.positions.values())

    def _warn(self, account: UsdmAccount, symbol: str, now_ms: int) -> Any:
        marks = self._marks_of_position(account, symbol)
        held = [one for one in open_margins(account, marks) if one.place.symbol == symbol]
        return events.margin_call(account, held, now_ms)

    def _liquidate(self, account: UsdmAccount, order: Liquidate, now_ms: int) -> list[Any]:
        sent = [self._warn(account, order.symbol, now_ms)]
        marks = self.marks([order.symbol])
        price = order.price or marks[order.symbol]
        for place in account.places(order.symbol):
            position = account.position(place)
            if not position.amount:
                continue
            trade, change = account.fill(
                place,
                "SELL" if position.amount > 0 else "BUY",
                quantity=abs(position.amount),
                price=price,
                commission=None,
                commission_asset=None,
                is_maker=False,
                at_ms=now_ms,
            )
            sent += [
                events.order_update(trade, now_ms, is_done=False, is_forced=True, closes=True),
                events.wallet_update(account, change, trade, marks, now_ms),
                events.order_update(trade, now_ms, is_done=True, is_forced=True, closes=True),
            ]
        paid = account.clear_debt(account.contract(order.symbol).margin_asset, now_ms)
        return sent if paid is None else [*sent, self._update(account, paid, now_ms)]

    def _marks_of_position(self, account: UsdmAccount, symbol: str) -> dict[str, Decimal]:
        """The mark prices of all positions; `ValueError` where a contract has none."""
        account.contract(symbol)
        if not any(account.position(place).amount for place in account.places(symbol)):
            raise ValueError(f"no position in {symbol}")
        return self.marks((symbol, *(place.symbol for place in account.positions)))

    def _update(self, account: UsdmAccount, change: Change, now_ms: int) -> Any:
        return events.account_update(account, change, self.marks(place.symbol for place in change.places), now_ms)

    # --- user streams ------------------------------------------------------------------------------------------------

    def _send(self, account: str, sent: Iterable[Any]) -> None:
        listen_key = self._listen_keys.get(account)
        if listen_key is not None:
            self._publish(listen_key, sent)

    def _publish(self, listen_key: str, sent: Iterable[Any]) -> None:
        now_ms = self._view.true_ms
        messages: list[Message] = []
        for event in sent:
            payload = msgspec.json.encode(event)
            messages.append(Message(now_ms, listen_key, payload))
            # and for who wants only some kinds of events, under the same name
            messages.append(Message(now_ms, stream_of(listen_key, event["e"]), payload, listen_key.encode()))
        self._view.publish(messages)

    def _open_key(self, account: str, _: Parameters) -> Answer:
        listen_key = self._listen_keys.open(account, self._view.true_ms)
        self._begin_watch()
        return Answer({"listenKey": listen_key}, 1)

    def _keep_key(self, account: str, _: Parameters) -> Answer:
        self._expire()
        listen_key = self._listen_keys.keep(account, self._view.true_ms)
        if listen_key is None:
            raise ApiError(-1125, "This listenKey does not exist.")
        return Answer({"listenKey": listen_key}, 1)

    def _close_key(self, account: str, _: Parameters) -> Answer:
        if not self._listen_keys.close(account):
            raise ApiError(-1125, "This listenKey does not exist.")
        return Answer({}, 1)

    def _begin_watch(self) -> None:
        if not self._is_watched and (self._listen_keys or self._has_positions()):
            self._is_watched = True
            self._view.spawn(self._watch())

    async def _watch(self) -> None:
        """Ends listen keys when their time is over and settles funding when it is due, as long as there are any."""
        while self._listen_keys or self._has_positions():
            self._expire()
            self._fund()
            await asyncio.sleep(_LOOK_S)
        self._is_watched = False

    def _expire(self) -> None:
        now_ms = self._view.true_ms
        for listen_key in self._listen_keys.expire(now_ms):
            self._publish(listen_key, [events.listen_key_expired(listen_key, now_ms)])


def _funding_before(time_ms: int) -> int:
    """The last time of payment at or before a time."""
    return time_ms - time_ms % FUNDING_MS
