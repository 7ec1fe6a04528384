"""The parts of one venue in a flow: its source, clock, REST interface, trade store, subscriptions and requests."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeAlias

import structlog
from msgspec import Struct

from flows.clock import FeedClock, wall_ms
from flows.model import Incident, ListedInstrument, RefreshRequest
from flows.runtime.commands import CommandPoller
from flows.runtime.query_handlers import open_database
from flows.runtime.subscriptions import SubscriptionController, is_own, listed_in, statuses_of, wanted
from flows.runtime.topics import VenueSource, open_copies, open_topic
from flows.settings import Feed, Settings, SettingsError
from flows.spellings import Catalogue, Spellings
from sinks.lake.retention import deletable_of
from sinks.mongo.commands import CommandConsumer, NoCommands
from sinks.mongo.writer import MongoWriter
from sinks.trades.compaction import Clocks
from sinks.trades.writer import TradeWriter, open_trade_writer
from sources.bridge import FeedSource
from sources.feed import UnknownSymbolError, check_symbols
from sources.rest.client import VenueError
from sources.venue import Venue, VenueRest
from sources.venues import VENUES
from sources.waiting import SourceWorkers

CHECK_S = 5.0
"""Longest wait for the venue's list of symbols at the start; without it the flow starts all the same."""
OTHERS_S = 3.0
"""The same for further venues, after one has answered."""
RETRY_S = 0.1
SYMBOLS_NAMED = 20
"""Most symbols named in the error when none of them is listed."""

_log = structlog.get_logger("flows.main")

Instruments: TypeAlias = Iterable[ListedInstrument]


class VenueRuntime(Struct, frozen=True, kw_only=True):
    """What runs for one venue beside its steps."""

    venue: Venue
    feed: Feed
    source: VenueSource
    clock: FeedClock
    rest: VenueRest
    settings: Settings
    report: Callable[[Incident], None]
    catalogue: Catalogue
    partitions: list[TradeWriter]
    """The writers of its trade store; the engine opens them."""

    @classmethod
    def of(
        cls,
        settings: Settings,
        feed: Feed,
        *,
        stop: threading.Event,
        workers: SourceWorkers,
        catalogue: Catalogue,
        report: Callable[[Incident], None],
    ) -> "VenueRuntime":
        """The parts for the settings of a venue; nothing runs yet."""
        venue, clock = VENUES[feed.venue], FeedClock()
        source: VenueSource
        if settings.kafka.is_read:
            source = open_topic(settings, feed, venue.feed(feed), stop=stop, report=report)
        else:
            copies = open_copies(settings, feed, venue.feed(feed), clock=clock, report=report)
            source = FeedSource(venue.feed(feed), settings=feed, stop=stop, workers=workers, copies=copies)
        return cls(
            venue=venue,
            feed=feed,
            source=source,
            clock=clock,
            rest=venue.rest(feed, settings.rest),
            settings=settings,
            report=report,
            catalogue=catalogue,
            partitions=[],
        )

    def open_partition(self, part: str) -> TradeWriter:
        """Opens a partition of the trade store. `TradeStoreError` when that fails."""
        lake = self.settings.lake
        writer = open_trade_writer(
            self.settings.trades,
            venue=self.venue.name,
            partition=part,
            on_incident=self.report,
            summary_s=self.settings.log.summary_s,
            clocks=Clocks(
                venue_now=lambda: self.clock.now().feed if self.clock.is_sure else None,
                wall_bound=wall_ms if self.feed.is_timely else None,
            ),
            deletable=deletable_of(lake.path, self.venue.name) if lake.holds_trades else None,
        )
        self.partitions.append(writer)
        return writer

    def outages(self, documents: MongoWriter | None) -> dict[str, str]:
        """Why each store takes nothing of this venue now; "" where it does."""
        found = {"candles": documents.outage} if documents else {}
        if self.partitions:
            found["trades"] = next((reason for writer in self.partitions if (reason := writer.outage)), "")
        return found

    def fetch_past(self, symbols: Iterable[str], request: str) -> None:
        """Refetches the history of symbols. Those that have not started yet fetch it by themselves."""
        for symbol in symbols:
            self.source.refresh(RefreshRequest((symbol,), request))

    def open_requests(self, instruments: Instruments | None, documents: MongoWriter | None) -> CommandPoller:
        """The source starts with the listed symbols of the settings, and then follows the desired subscriptions. A
        request has ended when `documents` has stored its candles.
        """
        feed, mongo = self.feed, self.settings.mongo
        commands = CommandConsumer(open_database(mongo)) if mongo.enabled else NoCommands()
        begin = wanted(feed, (), statuses_of(listed_in(instruments or ())))
        self.source.follow(begin.streams, not_trading=begin.not_trading)
        subscriptions = SubscriptionController(
            commands,
            feed=feed,
            follow=self.source.follow,
            announce=self.source.announce,
            query_instruments=partial(query_instruments, self.settings, feed),
            report=self.report,
            catalogue=self.catalogue,
            capabilities=self.venue.capabilities,
            instruments=instruments,
            doubtful=self.source.doubtful,
        )
        return CommandPoller(
            commands,
            venue=feed.venue,
            refresh=self.source.refresh,
            subscriptions=subscriptions,
            is_own=partial(is_own, feed),
            mark=documents.mark if documents else lambda: lambda: True,
        )


def query_instruments(settings: Settings, feed: Feed) -> list[ListedInstrument] | None:
    """The venue's instruments; None when it does not answer."""
    return asyncio.run(_instruments(settings, feed))


async def _instruments(settings: Settings, feed: Feed) -> list[ListedInstrument] | None:
    try:
        async with VENUES[feed.venue].rest(feed, settings.rest) as rest, asyncio.timeout(CHECK_S):
            while True:
                try:
                    return await rest.instruments()
                except VenueError as error:
                    # a replay exchange may have been started together with the flow, and not be ready
                    if error.status or not feed.rest_url:
                        raise
                    await asyncio.sleep(RETRY_S)
    except (VenueError, TimeoutError) as error:
        _log.warning("symbols_not_checked", venue=feed.venue, reason=str(error) or "no answer in time")
        return None


def check_venues(settings: Settings) -> dict[str, list[ListedInstrument] | None]:
    """The instruments of each venue; None for one that does not answer, which is no error: its connections are retried.
    All are queried at once, and `OTHERS_S` after the first answer no other is waited for. `SettingsError` when one
    lists none of its symbols; a single one is left out.
    """
    found = asyncio.run(_all_instruments(settings))
    for name, instruments in found.items():
        _check_symbols(settings.by_venue[name], instruments, "feed" if not settings.venues else f"venues.{name}")
    return found


async def _all_instruments(settings: Settings) -> dict[str, list[ListedInstrument] | None]:
    queries = {asyncio.ensure_future(_instruments(settings, feed)): name for name, feed in settings.by_venue.items()}
    found: dict[str, list[ListedInstrument] | None] = dict.fromkeys(settings.by_venue)
    waiting, timeout_s = set(queries), CHECK_S
    while waiting:
        done, waiting = await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            break
        for query in done:
            found[queries[query]] = query.result()
        if any(found.values()):
            timeout_s = OTHERS_S
    for query in waiting:
        query.cancel()
        _log.warning("symbols_not_checked", venue=queries[query], reason="no answer in time")
    return found


def with_own_names(feed: Feed, instruments: Instruments | None) -> Feed:
    """The settings with their symbols as the venue names them, where its instruments are known."""
    spellings = Spellings(listed_in(instruments or ()).values())
    own = dict.fromkeys(spellings.symbol(symbol) or symbol for symbol in feed.symbols)
    return feed.model_copy(update={"symbols": tuple(own)})


def _check_symbols(feed: Feed, instruments: Instruments | None, section: str) -> None:
    listed = listed_in(instruments or ())
    if listed and not listed.keys() & set(with_own_names(feed, instruments).symbols):
        try:
            check_symbols(feed.symbols[:SYMBOLS_NAMED], list(listed))
        except UnknownSymbolError as error:
            raise SettingsError(f"{section}.symbols: {error}") from error
