"""Kraken's private REST interface, `/0/private`, of accounts alone: nothing can be traded or withdrawn.

Source: docs.kraken.com, REST. Every body is `{"error": […], "result": …}`.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

from aiohttp import web

from sources.replay.accounts.amounts import plain
from sources.replay.accounts.keys import ApiKey
from sources.replay.exchange.dialect import BODY, AccountsView
from sources.replay.venues.kraken.accounts.keys import KrakenKeyError, permissions_of
from sources.replay.venues.kraken.accounts.margin import MarginRow
from sources.replay.venues.kraken.accounts.service import KrakenAccounts
from sources.replay.venues.kraken.pairs import old_asset, pair_of

PREFIX: Final = "/0/private/"
_DECIMALS: Final = 10
Params: TypeAlias = Mapping[str, str]
"""The parameters of a request, of its query and its body."""


class KrakenPrivate:
    """Answers requests about accounts."""

    def __init__(self, view: AccountsView, accounts: KrakenAccounts) -> None:
        self._view = view
        self._accounts = accounts
        self._endpoints: dict[str, Callable[[ApiKey, Params], Any]] = {
            "GetWebSocketsToken": self._token,
            "GetApiKeyInfo": self._key,
            "Balance": self._balances,
            "BalanceEx": self._extended,
            "OpenPositions": self._positions,
        }

    def result(self, request: web.Request) -> Any:
        """The result of a request for a path below `PREFIX`; `KrakenKeyError` for one that is refused."""
        endpoint = self._endpoints.get(request.path.removeprefix(PREFIX))
        if endpoint is None or request.method != "POST":
            raise KrakenKeyError("EGeneral:Unknown method")
        body = request.get(BODY, b"")
        key = self._accounts.callers.caller(request.path, request.headers, body)
        return endpoint(key, {**request.query, **dict(parse_qsl(body.decode("utf-8", "replace")))})

    def _token(self, key: ApiKey, _: Params) -> dict[str, Any]:
        token = self._accounts.tokens.make(key.account, self._view.now_ms)
        return {"token": token, "expires": self._accounts.tokens.life_ms // 1_000}

    def _key(self, key: ApiKey, params: Params) -> dict[str, Any]:
        return {
            "apiKeyName": f"{key.account}-key",
            "apiKey": key.name,
            "nonce": params["nonce"],
            "nonceWindow": 0,
            "permissions": permissions_of(key),
            "validUntil": "0",
            "queryFrom": "0",
            "queryTo": "0",
            "createdTime": "0",
            "modifiedTime": "0",
            "ipAllowlist": [],
            "lastUsed": str(self._view.now_ms // 1_000),
        }

    def _balances(self, key: ApiKey, params: Params) -> dict[str, str]:
        rows = self._accounts.balances(key.account).balances.items()
        return {_name(asset, params): _text(one.free + one.locked) for asset, one in rows if any(one)}

    def _extended(self, key: ApiKey, params: Params) -> dict[str, dict[str, str]]:
        rows = self._accounts.balances(key.account).balances.items()
        return {
            _name(asset, params): {"balance": _text(one.free + one.locked), "hold_trade": _text(one.locked)}
            for asset, one in rows
            if any(one)
        }

    def _positions(self, key: ApiKey, params: Params) -> dict[str, dict[str, str]]:
        rows = self._accounts.margin(key.account).rows
        calculates = params.get("docalcs") == "true"
        return {f"TREPLA-YPOSI-{row.number:06}": self._row(row, calculates=calculates) for row in rows}

    def _row(self, row: MarginRow, *, calculates: bool) -> dict[str, Any]:
        price = self._accounts.listed(row.symbol).last_price
        net = row.net(price)
        calculated = {"value": _text(row.value(price)), "net": f"{'+' if net >= 0 else ''}{_text(net)}"}
        return {
            "ordertxid": f"OREPLA-YORDE-{row.number:06}",
            "posstatus": "open",
            "pair": pair_of(row.symbol).id,
            "time": row.opened_ms / 1_000,
            "type": row.side.lower(),
            "ordertype": "market",
            "cost": plain(row.cost),
            "fee": plain(row.fee),
            "vol": _text(row.volume),
            "vol_closed": _text(row.closed),
            "margin": plain(row.margin),
            **(calculated if calculates else {}),
            "terms": "0.0100% per 4 hours",
            "rollovertm": str(row.opened_ms // 1_000 + 14_400),
            "misc": "",
            "oflags": "",
        }


def _name(asset: str, params: Params) -> str:
    return asset if params.get("assetVersion") == "1" else old_asset(asset)


def _text(value: Decimal) -> str:
    return f"{value:.{_DECIMALS}f}"
