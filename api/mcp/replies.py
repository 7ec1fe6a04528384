"""Replies of the agents' tools: data, how current it is, and what is known to be missing of it."""

from typing import Any, Final, TypeAlias

from api.live.freshness import CURRENT
from flows.model import Instrument
from sinks.hub.payloads import iso_utc

_TIMES: Final = frozenset(("timestamp", "timestamps", "time", "next_time"))

Reply: TypeAlias = dict[str, Any]


def reply(
    data: Any,
    status: Any,
    age_ms: int | None,
    *,
    stale: bool | None,
    state: str | dict[str, str] | None,
    completeness: Reply,
) -> Reply:
    """Data with its age, its state and the deployment's, and what is known to be missing of it."""
    freshness = {
        "age_ms": age_ms,
        "stale": stale,
        "state": state,
        "origin": status["origin"],
        "missing": status["missing"],
    }
    return {"data": with_dates(data), "freshness": freshness, "completeness": completeness}


def with_dates(data: Any) -> Any:
    """The data with its times as ISO-8601 text, which agents read better than milliseconds."""
    if isinstance(data, dict):
        return {name: _dates(value) if name in _TIMES else with_dates(value) for name, value in data.items()}
    return [with_dates(one) for one in data] if isinstance(data, list) else data


def _dates(times: Any) -> Any:
    if isinstance(times, list):
        return [_dates(one) for one in times]
    return iso_utc(times) if isinstance(times, int) else times


def fresh(data: Reply, status: Any, *, completeness: Reply) -> Reply:
    """The reply of data that contains its own age and state."""
    age_ms, stale, state = (data.pop(name) for name in ("age_ms", "stale", "state"))
    words = describe(status, Instrument(data["venue"], data["symbol"]), state)
    return reply(data, status, age_ms, stale=stale, state=words, completeness=completeness)


def of_trades(data: Any, status: Any) -> Reply:
    """The reply of data that was computed of stored trades."""
    basis = data.pop("basis")
    completeness = {"trades_stored": basis["completeness"], "from": basis["start"], "to": basis["end"]}
    stale, state = data.pop("stale"), describe(status, Instrument(data["venue"], data["symbol"]), data.pop("state"))
    return reply(data, status, basis["age_ms"], stale=stale, state=state, completeness=completeness)


def state_of(status: Any, instrument: Instrument) -> str | None:
    """State of an instrument as text; None where the flow publishes no states, or does not follow it."""
    found = _instrument(status, instrument)
    return None if found is None else describe(status, instrument, found["state"])


def is_stale(status: Any, instrument: Instrument) -> bool | None:
    """Whether an instrument's data is not current; None where the flow publishes no states or does not follow it."""
    found = _instrument(status, instrument)
    return None if found is None else found["state"] not in CURRENT


def describe(status: Any, instrument: Instrument, state: str | None) -> str | None:
    """A state with its begin and reason, where the instrument or a channel in that state has them."""
    found = _instrument(status, instrument)
    if state is None or found is None:
        return state
    known = next((one for one in (found, *found["channels"]) if one["state"] == state), None)
    if known is None:
        return state
    since = f" since {known['since']}" if known["since"] else ""
    return f"{state}{since}{': ' if known['reason'] else ''}{known['reason']}"


def _instrument(status: Any, instrument: Instrument) -> Any:
    venue, symbol = instrument
    found = (one for one in status["instruments"] if (one["venue"], one["symbol"]) == (venue, symbol.upper()))
    return next(found, None)
