"""Spot accounts: `/api/v3/account`, its trades, and what clients read of `/sapi` before they begin. Source: `rest-api`,
`account-endpoints`; of `/sapi` the wallet pages.
"""

from decimal import Decimal
from typing import Any, Final
from zlib import crc32

import msgspec

from sources.replay.accounts.amounts import text
from sources.replay.accounts.keys import ApiKey
from sources.replay.accounts.opened import OpenedAccounts
from sources.replay.accounts.orders import AnyOrder, Deposit, Fill, Lock, Open, Order, Transfer, Withdraw
from sources.replay.accounts.spot import COMMISSION, Balance, SpotAccount, SpotTrade
from sources.replay.accounts.spot_orders import Instrument, SpotChange, execute_spot
from sources.replay.exchange.binance.accounts import spot_events as events
from sources.replay.exchange.binance.accounts.endpoint import Access, AccountEndpoint, KeyEndpoints
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
            ("GET", "/sapi/v1/system/status"): AccountEndpoint(self._status, access=Access.FREE),
        }
        """By method and path."""
        self.of_keys: KeyEndpoints = {("GET", "/sapi/v1/account/apiRestrictions"): _restrictions}
        """What is said of a key itself."""

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
        now_ms = self._view.true_ms
        account = self._named(order.account)
        change = execute_spot(account, order, self._listed, now_ms)
        sent = [*_events_of(change, now_ms), events.position(account, change.assets, now_ms)]
        stream = events.user_stream(order.account)
        self._view.publish([Message(now_ms, stream, msgspec.json.encode(event)) for event in sent])

    def _listed(self, symbol: str) -> Instrument:
        if symbol not in self._symbols:
            raise ValueError(f"no symbol {symbol}; there are {', '.join(self._symbols[:10])}")
        return Instrument(symbol, *split_symbol(symbol), Decimal(self._view.market.ticker(symbol)["lastPrice"]))

    def report(self, account: str) -> dict[str, Any]:
        """An account's part of the state."""
        return {"balances": self._balances(self._accounts[account], omits_zero=True)}

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

    def _status(self, _: str, __: Parameters) -> Answer:
        return Answer({"status": 0, "msg": "normal"}, 1)


def _events_of(change: SpotChange, now_ms: int) -> list[Any]:
    """The events of a change before that of the balances."""
    if change.trade is not None:
        return [events.execution_report(change.trade, now_ms, is_done=is_done) for is_done in (False, True)]
    event = events.lock_update if change.reason == "lock" else events.balance_update
    return [event(change.assets[0], change.amount, now_ms)]


def _restrictions(key: ApiKey) -> Answer:
    """What a key may do besides reading."""
    body = {
        "ipRestrict": False,
        "createTime": 0,
        "enableReading": True,
        "enableSpotAndMarginTrading": "trade" in key.powers,
        "enableWithdrawals": "withdraw" in key.powers,
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
