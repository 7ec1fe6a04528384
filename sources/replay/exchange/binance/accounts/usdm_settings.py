"""What clients change of their USD-M accounts: leverage, margin type, modes. Source: the connector's `account` and
`trade` models, and the error codes of the derivatives pages.
"""

from collections.abc import Callable, Mapping
from typing import Final

from sources.replay.accounts.amounts import plain
from sources.replay.accounts.brackets import MOST_LEVERAGE, most_value
from sources.replay.accounts.orders import AnyOrder, Leverage, MarginType, MultiAssets, PositionMode
from sources.replay.accounts.usdm import UsdmAccount
from sources.replay.exchange.binance.accounts.endpoint import AccountEndpoint, AccountEndpoints
from sources.replay.exchange.binance.parameters import ApiError, Parameters, Takes, invalid
from sources.replay.exchange.binance.rest import Answer
from sources.replay.exchange.dialect import View, symbol_names

_DONE: Final = {"code": 200, "msg": "success"}
_SWITCH = ("true", "false")


class UsdmSettingsRest:
    """Answers requests that change the settings of an account, each as an operator's order would."""

    def __init__(self, accounts: Mapping[str, UsdmAccount], view: View, execute: Callable[[AnyOrder], None]) -> None:
        self._accounts = accounts
        self._view = view
        self._execute = execute
        self.endpoints: AccountEndpoints = {
            ("POST", "/fapi/v1/leverage"): AccountEndpoint(self._leverage, Takes(("symbol", "leverage"))),
            ("POST", "/fapi/v1/marginType"): AccountEndpoint(self._margin_type, Takes(("symbol", "marginType"))),
            ("POST", "/fapi/v1/positionSide/dual"): AccountEndpoint(self._sides, Takes(("dualSidePosition",))),
            ("POST", "/fapi/v1/multiAssetsMargin"): AccountEndpoint(self._assets, Takes(("multiAssetsMargin",))),
        }
        """By method and path."""

    def _leverage(self, name: str, parameters: Parameters) -> Answer:
        symbol, leverage = parameters.symbol(symbol_names(self._view.market)), parameters.integer("leverage") or 0
        if not 1 <= leverage <= MOST_LEVERAGE:
            raise ApiError(-4028, f"Leverage {leverage} is not valid")
        self._execute(Leverage(account=name, symbol=symbol, leverage=leverage))
        return Answer({"leverage": leverage, "maxNotionalValue": plain(most_value(leverage)), "symbol": symbol}, 1)

    def _margin_type(self, name: str, parameters: Parameters) -> Answer:
        symbol = parameters.symbol(symbol_names(self._view.market))
        is_isolated = parameters.choice("marginType", ("ISOLATED", "CROSSED"), default="") == "ISOLATED"
        account = self._accounts[name]
        if account.contract(symbol).is_isolated == is_isolated:
            raise ApiError(-4046, "No need to change margin type.")
        if any(account.position(place).amount for place in account.places(symbol)):
            raise ApiError(-4048, "Margin type cannot be changed if there exists position.")
        self._execute(MarginType(account=name, symbol=symbol, isolated=is_isolated))
        return Answer(_DONE, 1)

    def _sides(self, name: str, parameters: Parameters) -> Answer:
        has_sides, account = _switch(parameters, "dualSidePosition"), self._accounts[name]
        if account.has_sides == has_sides:
            raise ApiError(-4059, "No need to change position side.")
        if any(position.amount for position in account.positions.values()):
            raise ApiError(-4068, "Position side cannot be changed if there exists position.")
        self._execute(PositionMode(account=name, both_sides=has_sides))
        return Answer(_DONE, 1)

    def _assets(self, name: str, parameters: Parameters) -> Answer:
        self._execute(MultiAssets(account=name, on=_switch(parameters, "multiAssetsMargin")))
        return Answer(_DONE, 1)


def _switch(parameters: Parameters, name: str) -> bool:
    value = parameters.required(name).lower()
    if value not in _SWITCH:
        raise invalid(name)
    return value == "true"
