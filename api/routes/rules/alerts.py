"""Alerts: the rules that are watched, and what has fired. The flow takes a rule that is made or deleted here within a
second or two.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from api.http.errors import Problem
from api.http.route import READ_ERRORS, AnyRoute, Route, Symbol, Time, Venue
from api.services import Services
from flows.model.alerts import (
    LONGEST_REARM_S,
    LONGEST_SPAN_S,
    MOST_PERCENT,
    MOST_PRICE,
    MOST_RULES,
    RULE_NAME,
    AlertKind,
    AlertRule,
    Direction,
    Rearm,
    fault_of_rule,
)
from flows.names import SYMBOL_CHARACTERS, SYMBOL_LENGTH, TEXT_END
from sinks.hub.payloads import AlertBody, iso_utc
from sinks.mongo.alerts import StoredAlert, StoredRule

RULE_ERRORS = (*READ_ERRORS, "body_too_large", "unsupported_media_type", "conflict")

Price = Annotated[float, Meta(gt=0, le=MOST_PRICE)]
Percent = Annotated[float, Meta(gt=0, le=MOST_PERCENT)]
Span = Annotated[float, Meta(gt=0, le=LONGEST_SPAN_S)]
Lasts = Annotated[float, Meta(ge=0, le=LONGEST_SPAN_S)]
RearmAfter = Annotated[float, Meta(ge=1, le=LONGEST_REARM_S)]
RuleId = Annotated[str, Meta(pattern=f"^{RULE_NAME}{TEXT_END}")]
NoRuleId = Annotated[str, Meta(pattern=f"^({RULE_NAME})?{TEXT_END}", description="id of a rule")]
NoSymbol = Annotated[str, Meta(pattern=f"^({SYMBOL_CHARACTERS}{{1,{SYMBOL_LENGTH}}})?{TEXT_END}")]


class AddAlert(Struct, frozen=True, forbid_unknown_fields=True):
    """A rule. `price` is for `price_above`, `price_below` and `price_cross`, which need a `symbol`; `percent`, `span_s`
    and `direction` are for `price_change`; `for_s` is how long a `silence`, `unsynced` or `store_outage` lasts before
    it fires. Without a venue a `symbol` is at the one that has it; without a symbol each one of the venue, or of all,
    is watched for itself. `rearm` says when the rule may fire again: never, when what it watches is over, or `rearm_s`
    seconds after it fired.
    """

    kind: AlertKind
    symbol: Symbol | None = None
    venue: Venue = ""
    price: Price | None = None
    percent: Percent | None = None
    span_s: Span | None = None
    direction: Direction = "either"
    for_s: Lasts | None = None
    rearm: Rearm = "once"
    rearm_s: RearmAfter | None = None


class AlertRuleBody(Struct, frozen=True):
    """A rule. `origin`: `api` for one that was made here, `settings` for one that stands there and is not to be
    deleted. `watched`: whether the settings have alerts on. `last` is its newest alert, null when it never fired.
    """

    id: str
    origin: str
    watched: bool
    kind: str
    venue: str
    symbol: str
    price: float | None
    percent: float | None
    span_s: float | None
    direction: str
    for_s: float | None
    rearm: str
    rearm_s: float | None
    created: str | None
    last: AlertBody | None


class AlertRules(Struct, frozen=True):
    """Those of the settings first, then the oldest. `watched`: whether the settings have alerts on."""

    rules: list[AlertRuleBody]
    watched: bool


class OneRule(Struct, frozen=True, forbid_unknown_fields=True):
    """A rule by its id."""

    id: RuleId


class FiredParams(Struct, frozen=True, forbid_unknown_fields=True):
    """The newest `limit` alerts that were stored in `[start, end)`, by the wall clock. What is left out may be
    anything.
    """

    rule: NoRuleId = ""
    venue: Venue = ""
    symbol: NoSymbol = ""
    start: Time = 0
    end: Time | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100


class FiredAlert(AlertBody, frozen=True, kw_only=True):
    """An alert, and when it was stored, by the wall clock."""

    stored: str

    @classmethod
    def of_stored(cls, one: StoredAlert) -> "FiredAlert":
        """From the store."""
        return cls(**_fields(AlertBody.of(one.alert)), stored=iso_utc(one.created_ms))


class FiredAlerts(Struct, frozen=True):
    """The newest first."""

    alerts: list[FiredAlert]


class AlertHandlers:
    """The handlers of this file."""

    def __init__(self, services: Services) -> None:
        self._instruments = services.instruments
        self._mongo = services.mongo
        self._settings = services.settings.alerts

    async def rules(self, _: Struct) -> AlertRules:
        """The rules that are watched, each with its newest alert."""
        async with self._mongo.guarded():
            stored = await self._mongo.alerts.rules()
            last = await self._mongo.alerts.last_of_each()
        own = [self._body(rule, None, last.get(rule.id)) for rule in self._settings.own_rules]
        made = [self._body(one.rule, one.created_ms, last.get(one.rule.id)) for one in stored]
        return AlertRules([*own, *made], watched=self._settings.is_on)

    async def add(self, _: Struct, body: AddAlert) -> AlertRuleBody:
        """Make a rule; one with the same terms is the answer where there is one."""
        rule = await self._rule_of(body)
        if not self._settings.is_on:
            raise Problem("conflict", "alerts are off: set alerts.enabled = true, and start flow and interface again")
        async with self._mongo.guarded():
            if await self._mongo.alerts.count() >= MOST_RULES:
                raise Problem("conflict", f"there are {MOST_RULES} rules, and no more can be: delete one first")
            stored = await self._mongo.alerts.add(rule)
        return self._of_stored(stored)

    async def remove(self, params: OneRule) -> AlertRuleBody:
        """Delete a rule; what it has fired stays in the history."""
        if any(rule.id == params.id for rule in self._settings.own_rules):
            raise Problem("conflict", f"the rule {params.id} stands in the settings (alerts.rules): remove it there")
        async with self._mongo.guarded():
            stored = await self._mongo.alerts.remove(params.id)
        if stored is None:
            raise Problem("not_found", f"there is no rule {params.id}")
        return self._of_stored(stored)

    async def history(self, params: FiredParams) -> FiredAlerts:
        """What has fired, the newest first."""
        venue, symbol = await self._instruments.named(params.venue) or "", ""
        if params.symbol:
            venue, symbol = await self._instruments.find(params.symbol, params.venue)
        where = {"rule": params.rule, "venue": venue, "symbol": symbol}
        async with self._mongo.guarded():
            found = await self._mongo.alerts.history(
                {name: value for name, value in where.items() if value},
                start_ms=params.start,
                end_ms=params.end,
                count=params.limit,
            )
        return FiredAlerts([FiredAlert.of_stored(one) for one in found])

    async def _rule_of(self, body: AddAlert) -> AlertRule:
        """The rule of a request, with the venue's own name of its symbol. `Problem` when it cannot be one."""
        terms = {name: value for name, value in _fields(body).items() if name not in ("venue", "symbol")}
        rule = AlertRule("new", venue=body.venue, symbol=body.symbol or "", is_stored=True, **terms)
        if fault := fault_of_rule(rule):
            raise Problem("bad_request", f"the rule cannot be right: {fault}")
        venue, symbol = await self._instruments.named(body.venue) or "", ""
        if body.symbol:
            venue, symbol = await self._instruments.find(body.symbol, body.venue)
        return msgspec.structs.replace(rule, venue=venue, symbol=symbol)

    def _of_stored(self, stored: StoredRule) -> AlertRuleBody:
        return self._body(stored.rule, stored.created_ms, None)

    def _body(self, rule: AlertRule, created_ms: int | None, last: StoredAlert | None) -> AlertRuleBody:
        terms = {name: value for name, value in _fields(rule).items() if name in AlertRuleBody.__struct_fields__}
        return AlertRuleBody(
            **terms,
            origin="api" if rule.is_stored else "settings",
            watched=self._settings.is_on,
            created=None if created_ms is None else iso_utc(created_ms),
            last=AlertBody.of(last.alert) if last else None,
        )


def _fields(struct: Struct) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    handlers = AlertHandlers(services)
    return [
        Route("GET", "/api/alerts", handlers.rules, AlertRules, errors=READ_ERRORS),
        Route(
            "POST", "/api/alerts", handlers.add, AlertRuleBody, body=AddAlert, accepted=AlertRuleBody,
            errors=RULE_ERRORS,
        ),
        Route("GET", "/api/alerts/history", handlers.history, FiredAlerts, FiredParams, errors=READ_ERRORS),
        Route(
            "DELETE", "/api/alerts/{id}", handlers.remove, AlertRuleBody, OneRule, accepted=AlertRuleBody,
            errors=(*READ_ERRORS, "not_found", "conflict"),
        ),
    ]  # fmt: skip
