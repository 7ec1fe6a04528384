"""REST about USD-M accounts: balances, positions, trades, and what clients read of an account before they begin.
Source: the response models of Binance's own USD-M connector.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeAlias
from zlib import crc32

from sources.replay.accounts.amounts import ZERO, plain, text
from sources.replay.accounts.brackets import BRACKETS, most_value
from sources.replay.accounts.margins import (
    AssetMargins,
    PositionMargins,
    asset_margins,
    liquidation_price,
    margins_of,
    open_margins,
    total,
)
from sources.replay.accounts.usdm import MAKER_FEE, TAKER_FEE, UsdmAccount, UsdmTrade
from sources.replay.exchange.binance.accounts.endpoint import AccountEndpoint
from sources.replay.exchange.binance.parameters import Parameters, Takes
from sources.replay.exchange.binance.rest import Answer, ordered_times
from sources.replay.exchange.dialect import AccountsView

MarksOf: TypeAlias = Callable[[Iterable[str]], dict[str, Decimal]]
Row: TypeAlias = dict[str, Any]

_SYMBOL = Takes(("symbol",))


class UsdmAccountRest:
    """Answers requests about accounts."""

    def __init__(
        self,
        accounts: Mapping[str, UsdmAccount],
        margin_assets: Callable[[], Mapping[str, str]],
        view: AccountsView,
        marks_of: MarksOf,
    ) -> None:
        self._accounts = accounts
        self._margin_assets = margin_assets
        self._view = view
        self._marks_of = marks_of
        self.endpoints = {
            ("GET", "/fapi/v2/account"): AccountEndpoint(self._account_v2),
            ("GET", "/fapi/v3/account"): AccountEndpoint(self._account_v3),
            ("GET", "/fapi/v2/balance"): AccountEndpoint(self._balance),
            ("GET", "/fapi/v3/balance"): AccountEndpoint(self._balance),
            ("GET", "/fapi/v2/positionRisk"): AccountEndpoint(self._risk_v2),
            ("GET", "/fapi/v3/positionRisk"): AccountEndpoint(self._risk_v3),
            ("GET", "/fapi/v1/userTrades"): AccountEndpoint(self._trades, _SYMBOL),
            ("GET", "/fapi/v1/openOrders"): AccountEndpoint(self._open_orders),
            ("GET", "/fapi/v1/commissionRate"): AccountEndpoint(self._commission, _SYMBOL),
            ("GET", "/fapi/v1/leverageBracket"): AccountEndpoint(self._brackets),
            ("GET", "/fapi/v1/positionSide/dual"): AccountEndpoint(self._sides),
            ("GET", "/fapi/v1/multiAssetsMargin"): AccountEndpoint(self._assets_mode),
            ("GET", "/fapi/v1/accountConfig"): AccountEndpoint(self._config),
            ("GET", "/fapi/v1/symbolConfig"): AccountEndpoint(self._symbol_config),
        }
        """By method and path."""

    @property
    def _symbols(self) -> tuple[str, ...]:
        return tuple(self._margin_assets())

    @property
    def _assets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._margin_assets().values()))

    # --- balances ----------------------------------------------------------------------------------------------------

    def _held(self, account: UsdmAccount) -> list[PositionMargins]:
        return open_margins(account, self._marks_of(place.symbol for place in account.positions))

    def _asset_rows(self, account: UsdmAccount, held: list[PositionMargins]) -> list[AssetMargins]:
        return [asset_margins(account, one, held) for one in dict.fromkeys((*self._assets, *account.wallets))]

    def _balance(self, name: str, _: Parameters) -> Answer:
        account = self._accounts[name]
        rows = self._asset_rows(account, self._held(account))
        alias = f"{crc32(name.encode()):08x}"
        body = [
            {
                "accountAlias": alias,
                "asset": one.asset,
                "balance": text(one.wallet),
                "crossWalletBalance": text(one.cross_wallet),
                "crossUnPnl": text(one.cross_unrealized),
                "availableBalance": text(one.available),
                "maxWithdrawAmount": text(one.withdrawable),
                "marginAvailable": one.asset in self._assets,
                "updateTime": one.updated_ms,
            }
            for one in rows
        ]
        return Answer(body, 5)

    def _totals(self, account: UsdmAccount, rows: list[AssetMargins]) -> Row:
        """Of all assets that are margin, or where each stands for itself of USDT, the first of them where there is no
        USDT.
        """
        margins = [one for one in rows if one.asset in self._assets]
        if not account.is_multi_asset:
            first = next((one for one in margins if one.asset == "USDT"), margins[0] if margins else None)
            margins = [first] if first else []
        one = total(margins)
        return {
            "totalInitialMargin": text(one.initial),
            "totalMaintMargin": text(one.maintenance),
            "totalWalletBalance": text(one.wallet),
            "totalUnrealizedProfit": text(one.unrealized),
            "totalMarginBalance": text(one.balance),
            "totalPositionInitialMargin": text(one.initial),
            "totalOpenOrderInitialMargin": text(ZERO),
            "totalCrossWalletBalance": text(one.cross_wallet),
            "totalCrossUnPnl": text(one.cross_unrealized),
            "availableBalance": text(one.available),
            "maxWithdrawAmount": text(one.withdrawable),
        }

    def _account_v3(self, name: str, _: Parameters) -> Answer:
        """Positions are those that are open."""
        account = self._accounts[name]
        held = self._held(account)
        rows = self._asset_rows(account, held)
        positions = [
            {
                "symbol": one.place.symbol,
                "positionSide": one.place.side,
                "positionAmt": plain(one.position.amount),
                "unrealizedProfit": text(one.unrealized),
                "isolatedMargin": text(_isolated_margin(one)),
                "notional": text(one.value),
                "isolatedWallet": text(one.position.isolated),
                "initialMargin": text(one.initial),
                "maintMargin": text(one.maintenance),
                "updateTime": one.position.updated_ms,
            }
            for one in held
        ]
        body = {**self._totals(account, rows), "assets": [_asset_row(one) for one in rows], "positions": positions}
        return Answer(body, 5)

    def _account_v2(self, name: str, _: Parameters) -> Answer:
        """Positions are those of every contract."""
        account = self._accounts[name]
        rows = self._asset_rows(account, self._held(account))
        body = {
            **_permissions(),
            "updateTime": 0,
            "multiAssetsMargin": account.is_multi_asset,
            "tradeGroupId": -1,
            **self._totals(account, rows),
            "assets": [{**_asset_row(one), "marginAvailable": one.asset in self._assets} for one in rows],
            "positions": [_position_v2(one) for one in self._all(account, self._symbols)],
        }
        return Answer(body, 5)

    # --- positions ---------------------------------------------------------------------------------------------------

    def _all(self, account: UsdmAccount, symbols: Iterable[str]) -> list[PositionMargins]:
        """Every place of these contracts, with a position or without."""
        places = [place for symbol in symbols for place in account.places(symbol)]
        marks = self._marks_of(place.symbol for place in places)
        return [margins_of(account, place, marks[place.symbol]) for place in places]

    def _chosen(self, parameters: Parameters) -> tuple[str, ...]:
        return self._symbols if parameters.text("symbol") is None else (parameters.symbol(self._symbols),)

    def _risk_v2(self, name: str, parameters: Parameters) -> Answer:
        account = self._accounts[name]
        held = self._held(account)
        rows = self._all(account, self._chosen(parameters))
        return Answer([_risk_v2(account, one, held) for one in rows], 5)

    def _risk_v3(self, name: str, parameters: Parameters) -> Answer:
        """Of open positions alone."""
        account, chosen = self._accounts[name], self._chosen(parameters)
        held = self._held(account)
        return Answer([_risk_v3(account, one, held) for one in held if one.place.symbol in chosen], 5)

    def _trades(self, name: str, parameters: Parameters) -> Answer:
        symbol, order_id = parameters.symbol(self._symbols), parameters.integer("orderId")
        limit = parameters.limit(default=500, most=1_000, clamps=False)
        from_id, times = parameters.integer("fromId"), ordered_times(parameters)
        found = [
            trade
            for trade in self._accounts[name].trades
            if trade.place.symbol == symbol
            and order_id in (None, trade.order_id)
            and trade.trade_id >= (from_id or 0)
            and trade.time_ms >= (times.start_ms or 0)
            and (times.end_ms is None or trade.time_ms <= times.end_ms)
        ]
        is_from = from_id is not None or times.start_ms is not None
        return Answer([_trade_row(one) for one in (found[:limit] if is_from else found[-limit:])], 5)

    def _open_orders(self, _: str, parameters: Parameters) -> Answer:
        """None: an order of the control endpoint is filled at once."""
        self._chosen(parameters)
        return Answer([], 40 if parameters.text("symbol") is None else 1)

    # --- how it trades -----------------------------------------------------------------------------------------------

    def _commission(self, _: str, parameters: Parameters) -> Answer:
        symbol = parameters.symbol(self._symbols)
        rates = {"makerCommissionRate": plain(MAKER_FEE), "takerCommissionRate": plain(TAKER_FEE)}
        return Answer({"symbol": symbol, **rates}, 20)

    def _brackets(self, _: str, parameters: Parameters) -> Answer:
        brackets = [
            {
                "bracket": one.number,
                "initialLeverage": one.leverage,
                "notionalCap": int(one.cap),
                "notionalFloor": int(one.floor),
                "maintMarginRatio": float(one.ratio),
                "cum": float(one.deduction),
            }
            for one in BRACKETS
        ]
        return Answer([{"symbol": symbol, "brackets": brackets} for symbol in self._chosen(parameters)], 1)

    def _sides(self, name: str, _: Parameters) -> Answer:
        return Answer({"dualSidePosition": self._accounts[name].has_sides}, 30)

    def _assets_mode(self, name: str, _: Parameters) -> Answer:
        return Answer({"multiAssetsMargin": self._accounts[name].is_multi_asset}, 30)

    def _config(self, name: str, _: Parameters) -> Answer:
        account = self._accounts[name]
        body = {
            **_permissions(),
            "dualSidePosition": account.has_sides,
            "updateTime": 0,
            "multiAssetsMargin": account.is_multi_asset,
            "tradeGroupId": -1,
        }
        return Answer(body, 5)

    def _symbol_config(self, name: str, parameters: Parameters) -> Answer:
        account = self._accounts[name]
        contracts = [(symbol, account.contract(symbol)) for symbol in self._chosen(parameters)]
        body = [
            {
                "symbol": symbol,
                "marginType": "ISOLATED" if one.is_isolated else "CROSSED",
                "isAutoAddMargin": False,
                "leverage": one.leverage,
                "maxNotionalValue": plain(most_value(one.leverage)),
            }
            for symbol, one in contracts
        ]
        return Answer(body, 5)


def _permissions() -> Row:
    return {"feeTier": 0, "feeBurn": False, "canTrade": True, "canDeposit": True, "canWithdraw": True}


def _isolated_margin(one: PositionMargins) -> Decimal:
    return one.position.isolated + one.unrealized if one.contract.is_isolated and one.position.amount else ZERO


def _asset_row(one: AssetMargins) -> Row:
    return {
        "asset": one.asset,
        "walletBalance": text(one.wallet),
        "unrealizedProfit": text(one.unrealized),
        "marginBalance": text(one.balance),
        "maintMargin": text(one.maintenance),
        "initialMargin": text(one.initial),
        "positionInitialMargin": text(one.initial),
        "openOrderInitialMargin": text(ZERO),
        "crossWalletBalance": text(one.cross_wallet),
        "crossUnPnl": text(one.cross_unrealized),
        "availableBalance": text(one.available),
        "maxWithdrawAmount": text(one.withdrawable),
        "updateTime": one.updated_ms,
    }


def _position_v2(one: PositionMargins) -> Row:
    return {
        "symbol": one.place.symbol,
        "initialMargin": text(one.initial),
        "maintMargin": text(one.maintenance),
        "unrealizedProfit": text(one.unrealized),
        "positionInitialMargin": text(one.initial),
        "openOrderInitialMargin": "0",
        "leverage": str(one.contract.leverage),
        "isolated": one.contract.is_isolated,
        "entryPrice": plain(one.position.entry_price),
        "breakEvenPrice": plain(one.position.break_even_price),
        "maxNotional": plain(most_value(one.contract.leverage)),
        "bidNotional": "0",
        "askNotional": "0",
        "positionSide": one.place.side,
        "positionAmt": plain(one.position.amount),
        "notional": text(one.value),
        "isolatedWallet": text(one.position.isolated),
        "updateTime": one.position.updated_ms,
    }


def _risk(account: UsdmAccount, one: PositionMargins, held: list[PositionMargins]) -> Row:
    return {
        "symbol": one.place.symbol,
        "positionSide": one.place.side,
        "positionAmt": plain(one.position.amount),
        "entryPrice": plain(one.position.entry_price),
        "breakEvenPrice": plain(one.position.break_even_price),
        "markPrice": text(one.mark),
        "unRealizedProfit": text(one.unrealized),
        "liquidationPrice": plain(liquidation_price(account, one, held)),
        "isolatedMargin": text(_isolated_margin(one)),
        "notional": text(one.value),
        "isolatedWallet": text(one.position.isolated),
        "updateTime": one.position.updated_ms,
    }


def _risk_v2(account: UsdmAccount, one: PositionMargins, held: list[PositionMargins]) -> Row:
    return {
        **_risk(account, one, held),
        "leverage": str(one.contract.leverage),
        "maxNotionalValue": plain(most_value(one.contract.leverage)),
        "marginType": "isolated" if one.contract.is_isolated else "cross",
        "isAutoAddMargin": "false",
    }


def _risk_v3(account: UsdmAccount, one: PositionMargins, held: list[PositionMargins]) -> Row:
    return {
        **_risk(account, one, held),
        "marginAsset": one.contract.margin_asset,
        "initialMargin": text(one.initial),
        "maintMargin": text(one.maintenance),
        "positionInitialMargin": text(one.initial),
        "openOrderInitialMargin": "0",
        "adl": 1,
        "bidNotional": "0",
        "askNotional": "0",
    }


def _trade_row(trade: UsdmTrade) -> Row:
    return {
        "symbol": trade.place.symbol,
        "id": trade.trade_id,
        "orderId": trade.order_id,
        "side": trade.side,
        "price": plain(trade.price),
        "qty": plain(trade.quantity),
        "realizedPnl": text(trade.realized),
        "quoteQty": text(trade.value),
        "commission": text(trade.commission),
        "commissionAsset": trade.commission_asset,
        "time": trade.time_ms,
        "positionSide": trade.place.side,
        "buyer": trade.side == "BUY",
        "maker": trade.is_maker,
    }
