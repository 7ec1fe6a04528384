"""Alerts in a flow: the rules of the settings and of MongoDB, what has fired before, and the writer of what fires."""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import structlog
from pymongo.database import Database
from pymongo.errors import PyMongoError

from flows.clock import wall_ms
from flows.model import Incident, ListedInstrument
from flows.model.alerts import AlertRule, LastAlert, RuleBook, WatchedRule
from flows.runtime.query_handlers import open_database
from flows.settings import Settings, SettingsError
from flows.spellings import Catalogue, Spellings
from flows.steps import AlertParts
from flows.texts import database_reason
from sinks.alerts.outbox import Outbox, OutboxError
from sinks.alerts.webhook import Webhook
from sinks.alerts.writer import AlertWriter
from sinks.mongo.alerts import StoredRule, read_rules
from sinks.mongo.commands import MOST_NAMED
from sinks.mongo.writer import MongoWriter

LOOK_S: Final = 1.0
"""Time between two looks at the stored rules."""
AGAIN_S: Final = 10.0
"""The same while the server is unavailable."""
FIRST_LOOK_S: Final = 2.0
"""Longest wait at the start for the stored rules."""

_log = structlog.get_logger(__name__)


class StoredRules:
    """The present rules: those of the settings, and those of MongoDB, which a thread of its own reads. While they
    cannot be read, those that were read last hold.
    """

    def __init__(
        self,
        rules: tuple[AlertRule, ...],
        fired: dict[tuple[str, str, str], LastAlert],
        database: Database[dict[str, Any]] | None,
    ) -> None:
        """`fired` is what has fired before this start. Without a `database` there are only `rules`."""
        now_ms = wall_ms()
        self._own = tuple(WatchedRule(rule, now_ms) for rule in rules)
        self._fired = fired
        self._database = database
        self._stored: list[StoredRule] | None = None
        self._book = RuleBook(self._own, is_complete=database is None, fired=fired)
        self._reason = ""
        self._named: deque[str] = deque(maxlen=MOST_NAMED)
        self._has_looked = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alert-rules", daemon=True)

    def start(self) -> None:
        """Begins to read, and waits for the first look, not for long."""
        if self._database is not None:
            self._thread.start()
            self._has_looked.wait(FIRST_LOOK_S)

    def __call__(self) -> RuleBook:
        """The present rules; another object when they have changed."""
        return self._book

    def _run(self) -> None:
        never = threading.Event()
        while True:
            is_read = self._look()
            self._has_looked.set()
            never.wait(LOOK_S if is_read else AGAIN_S)

    def _look(self) -> bool:
        """Reads the stored rules; False when they cannot be read."""
        assert self._database is not None  # noqa: S101 - the thread runs only with one
        try:
            stored = read_rules(self._database, self._on_unreadable)
        except PyMongoError as error:
            if (reason := database_reason(error)) != self._reason:
                _log.warning("alert_rules_unreadable", reason=reason)
            self._reason = reason
            return False
        self._reason = ""
        if stored != self._stored:
            _log.info("alert_rules", settings=len(self._own), stored=len(stored))
            watched = tuple(WatchedRule(one.rule, one.created_ms) for one in stored)
            self._stored, self._book = stored, RuleBook((*self._own, *watched), fired=self._fired)
        return True

    def _on_unreadable(self, reason: str) -> None:
        if reason not in self._named:
            self._named.append(reason)
            _log.error("document_unreadable", reason=reason)


class AlertRuntime:
    """What runs for alerts beside their steps."""

    def __init__(self, settings: Settings, documents: MongoWriter | None, report: Callable[[Incident], None]) -> None:
        """Opens the outbox; what waits in it is delivered from now on. `SettingsError` when it cannot be opened."""
        chosen = settings.alerts
        try:
            outbox = Outbox(settings.alerts_path)
        except OutboxError as error:
            raise SettingsError(str(error)) from error
        webhook = None
        if chosen.webhook_url is not None and chosen.webhook_secret is not None:
            webhook = Webhook(chosen.webhook_url, chosen.webhook_secret)
        self.rules = StoredRules(
            chosen.own_rules, outbox.newest(), open_database(settings.mongo) if settings.mongo.enabled else None
        )
        self._own = chosen.own_rules
        self._fresh_ms = int(chosen.fresh_s * 1_000)
        history: Callable[[Any], None] = documents.write if documents else lambda _: None
        self.writer = AlertWriter(
            outbox, webhook=webhook, history=history, on_incident=report, summary_s=settings.log.summary_s
        )
        self.rules.start()

    def name_unlisted(self, listed: Mapping[str, Sequence[ListedInstrument] | None]) -> None:
        """Names in the log the rules of the settings whose symbol no venue lists; where one is silent, it may list
        it.
        """
        known = {venue: Spellings(instruments) for venue, instruments in listed.items() if instruments}
        for rule in self._own:
            venues = (rule.venue,) if rule.venue else listed
            if (
                rule.symbol
                and known.keys() >= set(venues)
                and not any(known[one].symbol(rule.symbol) for one in venues)
            ):
                _log.warning("alert_rule_of_no_instrument", rule=rule.id, symbol=rule.symbol, venues=list(venues))

    def parts(self, venue: str, catalogue: Catalogue) -> AlertParts:
        """What the flow of a venue needs."""
        return AlertParts(self.rules, partial(_own_name, catalogue, venue), self._fresh_ms)


def _own_name(catalogue: Catalogue, venue: str, symbol: str) -> str:
    try:
        return catalogue.symbol(venue, symbol) or symbol
    except ValueError:
        return symbol
