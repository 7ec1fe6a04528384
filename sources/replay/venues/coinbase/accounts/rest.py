"""REST of Advanced Trade, `/api/v3/brokerage`, of accounts alone. Source: docs.cdp.coinbase.com."""

import re
import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from sources.replay.accounts.amounts import plain
from sources.replay.accounts.keys import ApiKey
from sources.replay.exchange.dialect import AccountsView, Reply
from sources.replay.venues.coinbase.accounts.keys import TokenError
from sources.replay.venues.coinbase.accounts.service import CoinbaseAccounts
from sources.replay.venues.times import rfc3339

PREFIX: Final = "/api/v3/brokerage/"
_USUAL, _MOST, _DIGITS = 49, 250, 9
_BEARER = "Bearer "
_FIAT = frozenset(("USD", "EUR", "GBP"))
_SPACE = uuid.UUID("00000000-0000-4000-8000-000000000000")


class CoinbasePrivate:
    """Answers requests about accounts."""

    def __init__(self, view: AccountsView, accounts: CoinbaseAccounts) -> None:
        self._view = view
        self._accounts = accounts
        self._endpoints: dict[str, Callable[[ApiKey, web.Request], Any]] = {
            "accounts": self._rows,
            "key_permissions": self._permissions,
        }

    def reply(self, request: web.Request) -> Reply:
        """The answer to a request for a path below `PREFIX`."""
        endpoint = self._endpoints.get(request.path.removeprefix(PREFIX))
        if endpoint is None or request.method != "GET":
            return Reply(HTTPStatus.NOT_FOUND, {"error": "NOT_FOUND", "message": "Not Found"})
        header = request.headers.get("Authorization", "")
        # Below the name of a venue clients name that too.
        uri = re.compile(f"GET {re.escape(request.host)}(?:/[a-z-]+)?{re.escape(request.path)}")
        try:
            key = self._accounts.bearers.bearer(header.removeprefix(_BEARER), self._view.now_ms, uri)
        except TokenError:
            return Reply(HTTPStatus.UNAUTHORIZED, "Unauthorized\n")
        return Reply(HTTPStatus.OK, endpoint(key, request))

    def _permissions(self, key: ApiKey, _: web.Request) -> dict[str, Any]:
        return {
            "can_view": True,
            "can_trade": "trade" in key.powers,
            "can_transfer": "withdraw" in key.powers,
            "portfolio_uuid": str(uuid.uuid5(_SPACE, key.account)),
            "portfolio_type": "DEFAULT",
        }

    def _rows(self, key: ApiKey, request: web.Request) -> dict[str, Any]:
        limit, cursor = request.query.get("limit", ""), request.query.get("cursor", "")
        most = min(int(limit), _MOST) if limit.isascii() and limit.isdigit() and len(limit) <= _DIGITS else _USUAL
        rows = [self._row(key.account, asset) for asset in self._accounts.balances(key.account).balances]
        ids = [row["uuid"] for row in rows]
        begin = ids.index(cursor) + 1 if cursor in ids else 0
        page = rows[begin : begin + max(most, 1)]
        has_next = begin + len(page) < len(rows)
        return {
            "accounts": page,
            "has_next": has_next,
            "cursor": page[-1]["uuid"] if has_next else "",
            "size": len(page),
        }

    def _row(self, account: str, asset: str) -> dict[str, Any]:
        balance = self._accounts.balances(account).balance(asset)
        return {
            "uuid": str(uuid.uuid5(_SPACE, f"{account} {asset}")),
            "name": f"{asset} Wallet",
            "currency": asset,
            "available_balance": {"value": plain(balance.free), "currency": asset},
            "default": True,
            "active": True,
            "created_at": rfc3339(0),
            "updated_at": rfc3339(self._view.now_ms),
            "deleted_at": None,
            "type": "ACCOUNT_TYPE_FIAT" if asset in _FIAT else "ACCOUNT_TYPE_CRYPTO",
            "ready": True,
            "hold": {"value": plain(balance.locked), "currency": asset},
            "retail_portfolio_id": str(uuid.uuid5(_SPACE, account)),
        }
