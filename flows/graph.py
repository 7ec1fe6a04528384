"""The dataflow, from the venues to the stores. Every part comes in as an argument; nothing here knows a venue or a
store.

The engine runs the steps in the order in which they stand here. Step ids are part of the contract: recovered state is
found by them (`flows.recovered`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bytewax import operators as op
from bytewax.dataflow import Dataflow, Stream
from bytewax.inputs import Source
from bytewax.operators import KeyedStream
from bytewax.outputs import Sink
from msgspec import Struct

from flows import steps
from flows.bounds import ANY_VENUE, VenueRules
from flows.clock import FeedClock
from flows.machine import QueryRunner
from flows.model import (
    Document,
    Heartbeat,
    Incident,
    InstrumentStatus,
    MarketData,
    Publishable,
    RefreshResult,
    Rejected,
    Removed,
    TradeBatch,
    VenueParser,
)
from flows.model.account import AccountInput
from flows.model.alerts import Alert
from flows.operators.parse import Parse, Polled, Validated
from flows.operators.prices import Prices
from flows.operators.validate import Validate
from flows.recovered import FLOW
from flows.settings import Books, Feed


class Sinks(Struct, frozen=True):
    """Where the results go; None leaves a branch out."""

    candles: Sink[tuple[str, list[Document]]] | None = None
    trades: Sink[tuple[str, list[TradeBatch]]] | None = None
    broadcast: Sink[tuple[str, list[Publishable]]] | None = None
    bus: Sink[tuple[str, list[Publishable]]] | None = None
    """The same as `broadcast` gets, for readers on other hosts."""
    kafka: Sink[tuple[str, list[Publishable]]] | None = None
    """Trades, candles and incidents."""
    rejects: Sink[Rejected] | None = None
    incidents: Sink[Incident] | None = None
    commands: Sink[RefreshResult | Removed] | None = None
    """Results of requests, and removed instruments: their open requests will not be answered."""
    alerts: Sink[tuple[str, list[Alert]]] | None = None


class VenueParts(Struct, frozen=True, kw_only=True):
    """What the part of the flow for one venue is made of. Without a `runner` of queries no gap is filled and no history
    fetched, and there are no books and no statistics.
    """

    source: Source[Polled]
    parser: VenueParser
    feed: Feed
    clock: FeedClock
    runner: QueryRunner | None = None
    books: Books = Books()
    rules: VenueRules = ANY_VENUE
    outages: steps.Outages | None = None
    trades: Sink[tuple[str, list[TradeBatch]]] | None = None
    commands: Sink[RefreshResult | Removed] | None = None
    account: steps.AccountParts | None = None
    """Its account; without one nothing of accounts is in the flow."""
    alerts: steps.AlertParts | None = None
    """The rules of alerts; without them nothing of alerts is in the flow."""
    prefix: str = ""
    """Stands before the ids of its steps. Recovered state is found by them, so a venue keeps its own."""


def market_flow(
    *,
    source: Source[Polled],
    parser: VenueParser,
    feed: Feed,
    sinks: Sinks,
    clock: FeedClock | None = None,
    runner: QueryRunner | None = None,
    books: Books = Books(),  # noqa: B008 - it is frozen
    rules: VenueRules = ANY_VENUE,
    outages: steps.Outages | None = None,
    account: steps.AccountParts | None = None,
    alerts: steps.AlertParts | None = None,
) -> Dataflow:
    """The flow of one venue, see `VenueParts`. What leads to no sink is left out."""
    venue = VenueParts(
        source=source, parser=parser, feed=feed, clock=clock or FeedClock(), runner=runner, books=books, rules=rules,
        outages=outages, trades=sinks.trades, commands=sinks.commands, account=account,
        alerts=alerts,
    )  # fmt: skip
    return venues_flow([venue], sinks)


def venues_flow(venues: Sequence[VenueParts], sinks: Sinks) -> Dataflow:
    """The flow of several venues, each with steps of its own: what one does, no other notices. They share the `sinks`,
    but for those of trades and of commands. What leads to no sink is left out.
    """
    flow = Dataflow(FLOW)
    fronts = [_front(flow, venue) for venue in venues]
    names = [venue.feed.venue for venue in venues]
    prices: dict[str, list[Stream[Any]]] = {name: [front.prices] for name, front in zip(names, fronts, strict=True)}
    steps.broadcast("hub_prices", prices, sinks.broadcast)  # first of all: a price waits for nothing else

    flows = [_venue_flow(venue, front) for venue, front in zip(venues, fronts, strict=True)]
    steps.to_mongo("mongodb", *(stream for one in flows for stream in one.documents), sink=sinks.candles)
    for venue, one in zip(venues, flows, strict=True):
        steps.to_rocksdb(f"{venue.prefix}rocksdb", one.candles.trades, one.candles.restored, sink=venue.trades)
    of_accounts = [one.account.incidents for one in flows if one.account]
    steps.output("ledger", *(one.incidents for one in flows), *of_accounts, sink=sinks.incidents)
    for venue, one in zip(venues, flows, strict=True):
        steps.output(f"{venue.prefix}commands", one.candles.requests, sink=venue.commands)
    steps.output("rejects", *(stream for one in flows for stream in one.rejected), sink=sinks.rejects)
    states = [one.states(venue) for venue, one in zip(venues, flows, strict=True)]
    fired = [one.alerts(venue, state) for venue, one, state in zip(venues, flows, states, strict=True)]
    steps.to_alerts("alert_outbox", *fired, sink=sinks.alerts)
    updates: dict[str, list[Stream[Any] | None]] = {
        name: [*one.updates, state, one.incidents, alerts]
        for name, one, state, alerts in zip(names, flows, states, fired, strict=True)
    }
    steps.broadcast("hub", updates, sinks.broadcast)
    steps.broadcast("bus", {name: [*prices[name], *of_venue] for name, of_venue in updates.items()}, sinks.bus)
    lasting: dict[str, list[Stream[Any] | None]] = {
        name: [one.candles.trades, one.candles.candles, one.incidents] for name, one in zip(names, flows, strict=True)
    }
    steps.broadcast("kafka", lasting, sinks.kafka)
    return steps.drop_unread(flow)


@dataclass(frozen=True)
class _Front:
    """The input of one venue."""

    events: Stream[Validated]
    prices: Stream[MarketData]
    reports: KeyedStream[AccountInput] | None
    """What the private stream of its account brings."""


@dataclass(frozen=True)
class _VenueStreams:
    """What is made of the input of one venue."""

    candles: steps.CandleStreams
    status: steps.FeedStreams
    book: steps.BookStreams | None
    stats: steps.StatsStreams | None
    contracts: steps.DerivativeStreams | None
    account: steps.AccountStreams | None
    incidents: Stream[Incident]

    @property
    def documents(self) -> tuple[Stream[Any] | None, ...]:
        """For MongoDB."""
        contracts = self.contracts
        return (
            self.candles.candles, self.candles.corrections, self.stats and self.stats.per_minute,
            contracts and contracts.records, contracts and contracts.per_minute,
            self.account and self.account.items, self.account and self.account.totals,
        )  # fmt: skip

    @property
    def rejected(self) -> tuple[Stream[Rejected] | None, ...]:
        """Refused input."""
        return self.status.rejected, self.candles.rejected, self.book and self.book.rejected

    @property
    def updates(self) -> tuple[Stream[Any] | None, ...]:
        """For clients, besides states and incidents."""
        views, latest = self.book and self.book.views, self.stats and self.stats.latest
        contracts = self.contracts and self.contracts.updates
        account = self.account and self.account.items
        return self.candles.trades, self.candles.candles, views, latest, contracts, self.status.updates, account

    def states(self, venue: VenueParts) -> Stream[InstrumentStatus | Heartbeat]:
        """How current its instruments are."""
        return steps.freshness(
            f"{venue.prefix}freshness", self.status.observed, self.candles.witnesses, self.book and self.book.synced,
            self.contracts and self.contracts.observed,
            feed=venue.feed, clock=venue.clock, has_books=venue.runner is not None, outages=venue.outages,
        )  # fmt: skip

    def alerts(self, venue: VenueParts, states: Stream[InstrumentStatus | Heartbeat]) -> Stream[Alert] | None:
        """What fires of the rules."""
        if venue.alerts is None:
            return None
        return steps.alerts(
            f"{venue.prefix}alerts", self.candles.trades, states, self.status.observed, self.incidents,
            venue=venue.feed.venue, parts=venue.alerts, clock=venue.clock,
        ).fired  # fmt: skip


def _front(flow: Dataflow, venue: VenueParts) -> _Front:
    """From the venue's source to its prices."""
    feed, clock, prefix = venue.feed, venue.clock, venue.prefix
    frames = op.input(f"{prefix}source", flow, venue.source)
    parsed = op.flat_map_batch(f"{prefix}parse", frames, Parse(feed.venue, venue.parser))
    validate = Validate(feed.venue, clock, venue.rules, steps.server_time(venue.runner), is_timely=feed.is_timely)
    events = op.flat_map_batch(f"{prefix}validate", parsed, validate)
    prices = op.flat_map_batch(f"{prefix}prices", events, Prices(clock))
    reports = op.input(f"{prefix}account", flow, venue.account.source) if venue.account and venue.runner else None
    return _Front(events, prices, reports)


def _venue_flow(venue: VenueParts, front: _Front) -> _VenueStreams:
    """The steps of one venue behind its input."""
    feed, clock, rules, runner, prefix = venue.feed, venue.clock, venue.rules, venue.runner, venue.prefix
    trade_clock = clock.twin()  # never ahead of trades that are still held
    candles = steps.candles(f"{prefix}candles", front.events, feed, trade_clock, rules, runner)
    status = steps.feed_status(f"{prefix}feed_status", front.events, feed, clock)
    book = steps.order_books(f"{prefix}order_books", front.events, venue.books, clock, rules, runner)
    stats = steps.stats_24h(f"{prefix}stats_24h", candles.minutes, status.tickers, feed, trade_clock, rules, runner)
    contracts = steps.derivatives(f"{prefix}derivatives", front.events, feed, clock, rules, runner)
    incidents = steps.incidents(
        f"{prefix}incidents", clock, candles.incidents, status.incidents, book and book.incidents,
        stats and stats.incidents, contracts and contracts.incidents,
    )  # fmt: skip
    return _VenueStreams(candles, status, book, stats, contracts, _account(venue, front, contracts), incidents)


def _account(
    venue: VenueParts, front: _Front, contracts: steps.DerivativeStreams | None
) -> steps.AccountStreams | None:
    """The account of one venue."""
    if venue.account is None or venue.runner is None or front.reports is None:
        return None
    return steps.accounts(
        f"{venue.prefix}accounts", front.reports, front.prices, contracts and contracts.updates,
        venue=venue.feed.venue, parts=venue.account, clock=venue.clock, runner=venue.runner,
    )  # fmt: skip
