"""The ledger of incidents, in pages."""

from typing import Annotated

from msgspec import Meta, Struct

from api.http.errors import Problem
from api.http.route import READ_ERRORS, AnyRoute, Route, Time, Venue
from api.services import Services
from flows.model import Incident, IncidentKind
from flows.names import SYMBOL_CHARACTERS, SYMBOL_LENGTH, TEXT_END
from sinks.hub.payloads import IncidentBody


class IncidentsParams(Struct, frozen=True, forbid_unknown_fields=True):
    """Incidents that begin in `[start, end)`, the newest first. What is left out may be anything; `symbol` leaves out
    those of its whole venue. `cursor` continues a page.
    """

    symbol: Annotated[str, Meta(pattern=f"^({SYMBOL_CHARACTERS}{{1,{SYMBOL_LENGTH}}})?{TEXT_END}")] = ""
    venue: Venue = ""
    kinds: Annotated[tuple[IncidentKind, ...], Meta(max_length=20)] = ()
    start: Time = 0
    end: Time | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100
    cursor: Annotated[
        str,
        Meta(
            pattern=rf"^([0-9]{{1,15}}\.([0-9a-f]{{2}}){{1,300}})?{TEXT_END}", description="`next` of the page before"
        ),
    ] = ""


class IncidentsAnswer(Struct, frozen=True):
    """A page, the newest first; `next` is null on the last page."""

    incidents: list[IncidentBody]
    next: str | None


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""

    async def incidents(params: IncidentsParams) -> IncidentsAnswer:
        """What went wrong or was put right, of all venues when none is named."""
        venue, symbol = await services.instruments.named(params.venue), None
        if params.symbol:
            venue, symbol = await services.instruments.find(params.symbol, params.venue)
        found = await services.mongo.incident_page(
            venue,
            None if symbol is None else [symbol],
            kinds=params.kinds,
            start_ms=params.start,
            end_ms=params.end,
            after=_after(params.cursor),
            count=params.limit + 1,
        )
        shown = found[: params.limit]
        more = len(found) > len(shown)
        return IncidentsAnswer([IncidentBody.of(one) for _, one in shown], _cursor(*shown[-1]) if more else None)

    return [Route("GET", "/api/incidents", incidents, IncidentsAnswer, IncidentsParams, errors=READ_ERRORS)]


def _cursor(identity: str, incident: Incident) -> str:
    return f"{incident.begin}.{identity.encode().hex()}"


def _after(cursor: str) -> tuple[int, str] | None:
    if not cursor:
        return None
    begin, _, identity = cursor.partition(".")
    try:
        return int(begin), bytes.fromhex(identity).decode()
    except UnicodeDecodeError as error:
        raise Problem("bad_request", "the cursor is none of a page") from error
