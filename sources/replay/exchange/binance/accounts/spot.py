"""Spot accounts: `/api/v3/account`, its trades, and what clients read of `/sapi` before they begin. Source: `rest-api`,
`account-endpoints`; of `/sapi` the wallet pages.
"""

from decimal import Decimal
from typing import Any, Final
from zlib import crc32

import msgspec

from sources.replay.accounts.amounts import text
from sources.replay.accounts.orders import AnyOrder, Deposit, Fill, Lock, Open, Order, Transfer, Withdraw
from sources.replay.accounts.spot import COMMISSION, Balance, SpotAccount, SpotTrade
from sources.replay.exchange.binance.accounts import spot_events as events
from sources.replay.exchange.binance.accounts.endpoint import Access, AccountEndpoint
from sources.replay.exchange.binance.accounts.opened import OpenedAccounts
from sources.replay.exchange.binance.parameters import ApiError, Parameters, Takes
from sources.replay.exchange.binance.rest import Answer, time_range
from sources.replay.exchange.dialect import AccountsView, symbol_names
from sources.replay.market.exchange_info import split_symbol
from sources.replay.market.market import Message

DEMO_BALANCES: Final = {
    "USDT": Decimal(100_000),
    "BTC": Decimal(1),
    "ETH": Decimal(10),
    "BNB": Decimal(10),
}
"""What the demo account begins with."""
_RATE = f"{COMMISSION:.8f}"


def takes(*mandatory: str, optional: tuple[str, ...] = ()) -> Takes:
    """The parameters of a signed request besides those of signing."""
    return Takes(mandatory, optional)


class SpotAccounts(OpenedAccounts[SpotAccount]):
    """The spot accounts of an exchange, and the requests about them."""

    def __init__(self, view: AccountsView) -> None:
        super().__init__(SpotAccount(DEMO_BALANCES), SpotAccount)
        self._view = view
        self.orders: tuple[type[Order], ...] = (Open, Deposit, Withdraw, Transfer, Lock, Fill)
        """The kinds of orders that there are for them."""
        self.endpoints = {
            ("GET", "/api/v3/account"): AccountEndpoint(self._account, takes(optional=("omitZeroBalances",))),
            ("GET", "/api/v3/myTrades"): AccountEndpoint(
                self._trades, takes("symbol", optional=("orderId", "startTime", "endTime", "fromId", "limit"))
            ),
            ("GET", "/api/v3/openOrders"): AccountEndpoint(self._open_orders, takes(optional=("symbol",))),
            ("GET", "/sapi/v1/asset/tradeFee"): AccountEndpoint(self._fees, takes(optional=("symbol",))),
            ("GET", "/sapi/v1/capital/config/getall"): AccountEndpoint(self._coins),
            ("GET", "/sapi/v1/account/apiRestrictions"): AccountEndpoint(self._restrictions),
            ("GET", "/sapi/v1/system/status"): AccountEndpoint(self._status, access=Access.FREE),
        }
        """By method and path."""

    @property
    def _symbols(self) -> tuple[str, ...]:
        """Of now: they may be listed and delisted."""
        return symbol_names(self._view.market)

    def _assets(self, account: SpotAccount) -> list[str]:
        """What an account has, and what the exchange trades."""
        rows = self._view.market.exchange_info()
        traded = (asset for row in rows for asset in (row.get("baseAsset"), row.get("quoteAsset")))
        return list(dict.fromkeys((*account.balances, *filter(None, traded))))

    # --- what operators order ----------------------------------------------------------------------------------------

    def execute(self, order: AnyOrder) -> None:
        """Executes an order and sends its events; `ValueError` when it cannot be, and then nothing is changed."""
        if isinstance(order, Open):
            self.open(order.account)
            return
        sent = self._execute(self._named(order.account), order, self._view.true_ms)
        stream, now_ms = events.user_stream(order.account), self._view.true_ms
        self._view.publish([Message(now_ms, stream, msgspec.json.encode(event)) for event in sent])

    def _execute(self, account: SpotAccount, order: AnyOrder, now_ms: int) -> list[Any]:
        """The events of an order."""
        match order:
            case Deposit() | Transfer() | Withdraw():
                amount = -order.amount if isinstance(order, Withdraw) else order.amount
                account.move(order.asset, amount, now_ms)
                sent = [events.balance_update(order.asset, amount, now_ms)]
                assets: tuple[str, ...] = (order.asset,)
            case Lock():
                account.lock(order.asset, order.amount, now_ms)
                sent = [events.lock_update(order.asset, order.amount, now_ms)]
                assets = (order.asset,)
            case Fill():
                trade = self._fill(account, order, now_ms)
                sent = [events.execution_report(trade, now_ms, is_done=is_done) for is_done in (False, True)]
                assets = (*split_symbol(order.symbol), trade.commission_asset)
            case _:
                raise ValueError("spot has no such order")
        return [*sent, events.position(account, assets, now_ms)]

    def report(self, account: str) -> dict[str, Any]:
        """An account's part of the state."""
        return {"balances": self._balances(self._accounts[account], omits_zero=True)}

    def _fill(self, account: SpotAccount, order: Fill, at_ms: int) -> SpotTrade:
        if order.symbol not in self._symbols:
            raise ValueError(f"no symbol {order.symbol}; there are {', '.join(self._symbols[:10])}")
        price = order.price or Decimal(self._view.market.ticker(order.symbol)["lastPrice"])
        return account.trade(
            order.symbol,
            split_symbol(order.symbol),
            order.side,
            quantity=order.quantity,
            price=price,
            commission=order.commission,
            commission_asset=order.commission_asset,
            is_maker=order.maker,
            at_ms=at_ms,
        )

    # --- what clients request ----------------------------------------------------------------------------------------

    def _account(self, name: str, parameters: Parameters) -> Answer:
        omits_zero = parameters.choice("omitZeroBalances", ("true", "false"), default="false") == "true"
        account = self._accounts[name]
        body = {
            "makerCommission": 10,
            "takerCommission": 10,
            "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": {"maker": _RATE, "taker": _RATE, "buyer": "0.00000000", "seller": "0.00000000"},
            "canTrade": True,
            "canWithdraw": True,
            "canDeposit": True,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": account.updated_ms,
            "accountType": "SPOT",
            "balances": self._balances(account, omits_zero=omits_zero),
            "permissions": ["SPOT"],
            "uid": crc32(name.encode()),
        }
        return Answer(body, 20)

    def _balances(self, account: SpotAccount, *, omits_zero: bool) -> list[dict[str, str]]:
        found = ((asset, account.balance(asset)) for asset in self._assets(account))
        return [_balance_row(asset, balance) for asset, balance in found if any(balance) or not omits_zero]

    def _trades(self, name: str, parameters: Parameters) -> Answer:
        symbol = parameters.symbol(self._symbols)
        order_id, from_id = parameters.integer("orderId"), parameters.integer("fromId")
        limit, times = parameters.limit(default=500, most=1_000), time_range(parameters)
        if from_id is not None and times != (None, None):
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        found = [
            trade
            for trade in self._accounts[name].trades
            if trade.symbol == symbol
            and order_id in (None, trade.order_id)
            and trade.trade_id >= (from_id or 0)
            and trade.time_ms >= (times.start_ms or 0)
            and (times.end_ms is None or trade.time_ms <= times.end_ms)
        ]
        is_from = from_id is not None or times.start_ms is not None
        rows = found[:limit] if is_from else found[-limit:]
        return Answer([_trade_row(trade) for trade in rows], 20 if order_id is None else 5)

    def _open_orders(self, _: str, parameters: Parameters) -> Answer:
        """None: an order of the control endpoint is filled at once."""
        if parameters.text("symbol") is None:
            return Answer([], 80)
        parameters.symbol(self._symbols)
        return Answer([], 6)

    def _fees(self, _: str, parameters: Parameters) -> Answer:
        chosen = self._symbols if parameters.text("symbol") is None else (parameters.symbol(self._symbols),)
        rate = f"{COMMISSION:f}"
        return Answer([{"symbol": one, "makerCommission": rate, "takerCommission": rate} for one in chosen], 1)

    def _coins(self, name: str, _: Parameters) -> Answer:
        account = self._accounts[name]
        return Answer([_coin_row(asset, account.balance(asset)) for asset in self._assets(account)], 10)

    def _restrictions(self, _: str, __: Parameters) -> Answer:
        """Keys of this exchange may read and trade, and nothing else."""
        body = {
            "ipRestrict": False,
            "createTime": 0,
            "enableReading": True,
            "enableSpotAndMarginTrading": True,
            "enableWithdrawals": False,
            "enableInternalTransfer": False,
            "enableMargin": False,
            "enableFutures": False,
            "permitsUniversalTransfer": False,
            "enableVanillaOptions": False,
            "enableFixApiTrade": False,
            "enableFixReadOnly": False,
            "enablePortfolioMarginTrading": False,
        }
        return Answer(body, 1)

    def _status(self, _: str, __: Parameters) -> Answer:
        return Answer({"status": 0, "msg": "normal"}, 1)


def _balance_row(asset: str, balance: Balance) -> dict[str, str]:
    return {"asset": asset, "free": text(balance.free), "locked": text(balance.locked)}


def _trade_row(trade: SpotTrade) -> dict[str, Any]:
    return {
        "symbol": trade.symbol,
        "id": trade.trade_id,
        "orderId": trade.order_id,
        "orderListId": -1,
        "price": text(trade.price),
        "qty": text(trade.quantity),
        "quoteQty": text(trade.value),
        "commission": text(trade.commission),
        "commissionAsset": trade.commission_asset,
        "time": trade.time_ms,
        "isBuyer": trade.side == "BUY",
        "isMaker": trade.is_maker,
        "isBestMatch": True,
    }


def _coin_row(asset: str, balance: Balance) -> dict[str, Any]:
    """A coin that is neither deposited nor withdrawn over a chain."""
    nothing = dict.fromkeys(("freeze", "withdrawing", "ipoing", "ipoable", "storage"), "0")
    return {
        "coin": asset,
        "name": asset,
        "free": text(balance.free),
        "locked": text(balance.locked),
        **nothing,
        "isLegalMoney": False,
        "trading": True,
        "depositAllEnable": False,
        "withdrawAllEnable": False,
        "networkList": [],
    }
