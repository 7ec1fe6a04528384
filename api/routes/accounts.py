"""Balances and positions of accounts, now from the live view, and totals over time from the store. All of it needs the
right `account`.

While no hub reports an account, the newest stored version is the answer: it is `unknown`, and stale.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, NamedTuple

from msgspec import Meta, Struct

from api.http.route import READ_ERRORS, AnyRoute, Route, Time, Venue
from api.live.freshness import UNKNOWN, State, account_state_of
from api.live.state import VenueState
from api.services import Services
from flows.model import AccountItem, AccountState, AccountTotal, Balance, Position
from flows.names import TEXT_END
from sinks.hub.payloads import AccountBody, BalanceBody, PositionBody, iso_utc

NOT_REPORTED = State(UNKNOWN, reason="no hub reports it: this is what was stored last")

Account = Annotated[str, Meta(pattern=f"^[A-Za-z0-9_.-]{{0,64}}{TEXT_END}", description="its label in the settings")]


class AccountParams(Struct, frozen=True, forbid_unknown_fields=True):
    """Accounts of a venue or of all, one label or all."""

    venue: Venue = ""
    account: Account = ""


class TotalsParams(Struct, frozen=True, forbid_unknown_fields=True):
    """The newest `limit` totals in `[start, end)`."""

    venue: Venue = ""
    account: Account = ""
    start: Time = 0
    end: Time | None = None
    limit: Annotated[int, Meta(ge=1, le=100_000)] = 1_440


class AccountHead(Struct, frozen=True, kw_only=True):
    """An account, and whether what follows is known to be the venue's: `stale` unless its state is `live`. `age_ms` is
    the time since something came from the venue, null where that is not known.
    """

    venue: str
    account: str
    state: str
    since: str | None
    reason: str
    snapshot_time: str | None
    age_ms: int | None
    stale: bool


class AccountBalances(AccountHead, frozen=True, kw_only=True):
    """Its balances. `value` is the sum of those with a price in `quote`, null without any; `valued` says whether all
    have one, and `price_time` is the exchange's time of the oldest of these prices.
    """

    balances: list[BalanceBody]
    quote: str | None
    value: Decimal | None
    valued: bool
    price_time: int | None


class AccountPositions(AccountHead, frozen=True, kw_only=True):
    """Its open positions."""

    positions: list[PositionBody]


class BalanceAnswer(Struct, frozen=True):
    """The balances of each account; none where no account is followed."""

    accounts: list[AccountBalances]


class PositionsAnswer(Struct, frozen=True):
    """The open positions of each account; none where no account is followed."""

    accounts: list[AccountPositions]


class TotalRow(Struct, frozen=True):
    """What an account was worth at the begin of a minute; `price_time` is the time of the oldest price in it."""

    venue: str
    account: str
    quote: str
    total: Decimal
    unrealised_pnl: Decimal
    price_time: int | None
    timestamp: int

    @classmethod
    def of(cls, total: AccountTotal) -> "TotalRow":
        """From the model."""
        pnl = total.unrealised_pnl
        return cls(total.venue, total.account, total.quote, total.total, pnl, total.price_time, total.time)


class TotalsAnswer(Struct, frozen=True):
    """Oldest first."""

    totals: list[TotalRow]


class _Known(NamedTuple):
    """What is known of an account."""

    head: dict[str, Any]
    balances: list[BalanceBody]
    positions: list[PositionBody]


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""

    async def known(venue: str, account: str) -> list[_Known]:
        named = await services.instruments.named(venue)
        if found := _of_hubs(services.live.venue_states(named), account):
            return found
        follows = any(feed.has_account for feed in services.settings.by_venue.values())
        return _of_store(await services.mongo.account_items(named, account)) if follows else []

    async def balance(params: AccountParams) -> BalanceAnswer:
        """Balances of accounts, with their value."""
        return BalanceAnswer([_balances(one) for one in await known(params.venue, params.account)])

    async def positions(params: AccountParams) -> PositionsAnswer:
        """Open positions of accounts, with their profit at the market's price."""
        found = await known(params.venue, params.account)
        return PositionsAnswer([AccountPositions(**one.head, positions=one.positions) for one in found])

    async def history(params: TotalsParams) -> TotalsAnswer:
        """What accounts were worth, minute by minute."""
        venue = await services.instruments.named(params.venue)
        totals = await services.mongo.account_totals(venue, params.account, params.limit, params.start, params.end)
        return TotalsAnswer([TotalRow.of(total) for total in totals])

    route = partial(Route, "GET", errors=READ_ERRORS, needs="account")
    return [
        route("/api/balance", balance, BalanceAnswer, AccountParams),
        route("/api/balance/{venue}", balance, BalanceAnswer, AccountParams),
        route("/api/positions", positions, PositionsAnswer, AccountParams),
        route("/api/account/history", history, TotalsAnswer, TotalsParams),
    ]


def _balances(known: _Known) -> AccountBalances:
    valued = [one for one in known.balances if one.value is not None]
    return AccountBalances(
        **known.head,
        balances=known.balances,
        quote=valued[0].quote if valued else None,
        value=sum((one.value for one in valued if one.value is not None), Decimal(0)) if valued else None,
        valued=len(valued) == len(known.balances),
        price_time=min((one.price_time for one in valued if one.price_time is not None), default=None),
    )


def _of_hubs(venue_states: Iterable[VenueState], account: str) -> list[_Known]:
    """The accounts that the hubs report."""
    return [
        _known_of(venue_state, message.body)
        for venue_state in venue_states
        for message in venue_state.of_accounts("Account", account)
    ]


def _known_of(venue_state: VenueState, body: AccountBody) -> _Known:
    now_ms = venue_state.clock.now_ms
    return _Known(
        _head(body, account_state_of(venue_state, body.account), max(0, now_ms - body.timestamp) if now_ms else None),
        [message.body for message in venue_state.of_accounts("Balance", body.account)],
        [message.body for message in venue_state.of_accounts("Position", body.account)],
    )


def _of_store(items: Sequence[AccountItem]) -> list[_Known]:
    """The accounts that are stored, with the newest time of what is stored of them as that of their state."""
    by_account: defaultdict[tuple[str, str], list[AccountItem]] = defaultdict(list)
    for item in items:
        by_account[item.venue, item.account].append(item)
    return [_stored(venue, account, of_account) for (venue, account), of_account in sorted(by_account.items())]


def _stored(venue: str, account: str, items: Sequence[AccountItem]) -> _Known:
    state = next((item for item in items if isinstance(item, AccountState)), None)
    newest = max(item.event_time for item in items)
    body = AccountBody.of(state or AccountState(venue, account, "stale", newest, "", 0, newest))
    return _Known(
        _head(body, NOT_REPORTED, None) | {"since": iso_utc(newest)},
        [BalanceBody.of(item) for item in items if isinstance(item, Balance) and item.total],
        [PositionBody.of(item) for item in items if isinstance(item, Position) and item.quantity],
    )


def _head(body: AccountBody, state: State, age_ms: int | None) -> dict[str, Any]:
    return {
        "venue": body.venue,
        "account": body.account,
        "state": state.state,
        "since": state.since,
        "reason": state.reason,
        "snapshot_time": body.snapshot_time,
        "age_ms": age_ms,
        "stale": not state.is_current,
    }
