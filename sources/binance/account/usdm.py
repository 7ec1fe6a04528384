"""The account of USD-M futures: a listen key, whose stream is private, and three REST requests.

The wallet that cross positions share is what is free, the margin of isolated positions is locked: streams and REST have
both, and of what is available for new positions the streams say nothing. Balances are queried before positions: each
has the time of its own answer, so that what comes between the two is newer than the balances.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

import msgspec

from flows.model.account import (
    AccountEvent,
    AccountReport,
    AccountSnapshot,
    AccountUpdate,
    BalanceReport,
    LeverageReport,
    MarginType,
    Place,
    PositionReport,
)
from sources.account import AccountSettings, Login, ParsedAccount, Right, StreamExpiredError, parsed
from sources.binance.account import wire
from sources.binance.account.requests import AccountRequests
from sources.binance.account.spot import stream_url
from sources.binance.rest import BinanceRest
from sources.rest.answers import decoded
from sources.rest.client import VenueError

_URLS: Final = {"live": "wss://fstream.binance.com", "testnet": "wss://fstream.binancefuture.com"}
_LISTEN_KEY: Final = "/fapi/v1/listenKey"
_BALANCE: Final = "/fapi/v3/balance"
_RISK: Final = "/fapi/v3/positionRisk"
_SYMBOLS: Final = "/fapi/v1/symbolConfig"
_WEIGHT: Final = 5
_NO_LISTEN_KEY: Final = -1125
_PING: Final = 1
_MARGINS: Final[dict[str, MarginType]] = {"CROSSED": "cross", "ISOLATED": "isolated"}
_ALIVE: Final = AccountEvent("alive")


class UsdmAccount:
    """See `AccountFeed`."""

    keep_s = 1_800.0
    ping_s = 10.0

    def __init__(self, settings: AccountSettings, rest: BinanceRest) -> None:
        """`ValueError` for a secret that cannot be used, or without an address."""
        self.venue = settings.venue
        self._url = stream_url(settings, _URLS.get(settings.origin))
        self._requests = AccountRequests(rest.client, rest.time, settings)
        self._listen_key = ""
        self._events: dict[str, Callable[[bytes], AccountReport]] = {
            "ACCOUNT_UPDATE": _update,
            "ACCOUNT_CONFIG_UPDATE": _config,
            "listenKeyExpired": lambda _: AccountEvent("expired", "the listen key has expired"),
        }

    async def powers(self) -> frozenset[Right] | None:
        """See `AccountFeed`. This market does not say it."""
        return None

    async def login(self) -> Login:
        """See `AccountFeed`. A listen key that is alive is given again, and lives on."""
        body = await self._requests.keyed("POST", _LISTEN_KEY, weight=1)
        self._listen_key = decoded(wire.LISTEN_KEY, body, _LISTEN_KEY).listenKey
        return Login(f"{self._url}/private/ws/{self._listen_key}")

    async def keep(self) -> None:
        """See `AccountFeed`."""
        try:
            await self._requests.keyed("PUT", _LISTEN_KEY, weight=1)
        except VenueError as error:
            if error.code == _NO_LISTEN_KEY:
                raise StreamExpiredError("the listen key is gone") from None
            raise

    def ping(self) -> str | None:
        """See `AccountFeed`: lists the streams of the connection."""
        return f'{{"method":"LIST_SUBSCRIPTIONS","id":{_PING}}}'

    async def snapshot(self) -> AccountSnapshot:
        """See `AccountFeed`."""
        read = self._requests.read
        balances = decoded(wire.USDM_BALANCES, await read(_BALANCE, weight=_WEIGHT), _BALANCE)
        risks = decoded(wire.USDM_RISKS, await read(_RISK, weight=_WEIGHT), _RISK)
        symbols = decoded(wire.USDM_SYMBOLS, await read(_SYMBOLS, weight=_WEIGHT), _SYMBOLS)
        time = max((row.update_time for row in balances), default=0)
        return AccountSnapshot(
            time,
            tuple(
                BalanceReport(
                    row.asset, row.cross_wallet_balance, row.balance - row.cross_wallet_balance, row.update_time
                )
                for row in balances
                if row.balance or row.cross_wallet_balance
            ),
            tuple(_risk(row) for row in risks if row.position_amt),
            tuple(LeverageReport(row.symbol, row.leverage, _MARGINS[row.margin_type]) for row in symbols),
            positions_time=max(time, *(row.update_time for row in risks)) if risks else time,
        )

    def parse(self, frame: bytes) -> ParsedAccount:
        """See `AccountFeed`."""
        return parsed(frame, self._reports)

    def _reports(self, frame: bytes) -> tuple[AccountReport, ...]:
        try:
            kind = wire.KIND.decode(frame).e
        except msgspec.ValidationError:
            return self._reply(frame)
        read = self._events.get(kind)
        return (read(frame) if read else _ALIVE,)

    def _reply(self, frame: bytes) -> tuple[AccountEvent, ...]:
        reply = wire.USDM_REPLY.decode(frame)
        if reply.id != _PING or reply.result is None:
            return ()  # an error is no sign of life
        if self._listen_key in reply.result:
            return (_ALIVE,)
        return (AccountEvent("expired", "the venue no longer has the stream"),)


def _update(frame: bytes) -> AccountUpdate:
    found = wire.USDM_UPDATE.decode(frame)
    return AccountUpdate(
        found.T,
        tuple(BalanceReport(row.a, row.cw, row.wb - row.cw) for row in found.a.B),
        positions=tuple(
            PositionReport(
                row.s,
                row.ps,
                _signed(row.ps, row.pa),
                entry_price=row.ep,
                break_even_price=row.bep,
                unrealised_pnl=row.up,
                realised_pnl=row.cr,
                margin_type=row.mt,
            )
            for row in found.a.P
        ),
    )


def _config(frame: bytes) -> AccountReport:
    found = wire.USDM_CONFIG.decode(frame)
    if found.ac is None:
        return _ALIVE
    return AccountUpdate(found.T, leverages=(LeverageReport(found.ac.s, found.ac.l),))


def _risk(row: wire.UsdmRisk) -> PositionReport:
    return PositionReport(
        row.symbol,
        row.position_side,
        _signed(row.position_side, row.position_amt),
        entry_price=row.entry_price,
        break_even_price=row.break_even_price,
        mark_price=row.mark_price,
        unrealised_pnl=row.un_realized_profit,
        liquidation_price=row.liquidation_price,
        time=row.update_time,
    )


def _signed(place: Place, amount: Decimal) -> Decimal:
    """Where there is a place for short positions its amount is negative too."""
    return amount if place == "BOTH" else abs(amount)
