"""The payload of alerts, the same to clients of the hub, to webhooks and in answers of the API."""

from msgspec import Struct

from flows.model.alerts import Alert, PricePoint, describe_alert
from sinks.hub.payloads.form import iso_utc_or_none


class PricePointBody(Struct, frozen=True):
    """A trade that an alert is about."""

    price: float
    trade_id: int
    timestamp: int

    @classmethod
    def of(cls, point: PricePoint | None) -> "PricePointBody | None":
        """From the model."""
        return None if point is None else cls(point.price, point.trade_id, point.time)


class AlertBody(Struct, frozen=True):
    """A rule has fired: once for each `id`, whatever sends it how often. `rule` is the id of the rule, `level` its
    price; `seen` the trade that made it fire, and `before` the one from which it differs by `percent`. Of what is no
    price, `state` is the state that lasts since `state_since`, or the kind of the incident, and `reason` its reason.
    `symbol` is "" where it concerns the whole venue.
    """

    id: str
    rule: str
    kind: str
    venue: str
    symbol: str
    text: str
    level: float | None
    seen: PricePointBody | None
    before: PricePointBody | None
    percent: float | None
    state: str
    state_since: str | None
    reason: str
    timestamp: int | None

    @classmethod
    def of(cls, alert: Alert) -> "AlertBody":
        """From the model."""
        return cls(
            alert.id,
            alert.rule.id,
            alert.rule.kind,
            alert.venue,
            alert.symbol,
            describe_alert(alert),
            alert.rule.price,
            PricePointBody.of(alert.seen),
            PricePointBody.of(alert.before),
            alert.percent,
            alert.state,
            iso_utc_or_none(alert.state_since),
            alert.reason,
            alert.time or None,
        )
