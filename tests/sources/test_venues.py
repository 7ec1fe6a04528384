"""The list of venues: what the settings name, and nothing else."""

from typing import get_args

import pytest

from flows.model import RawFrames
from flows.settings import Feed, Rest
from sources.venue import Venue
from sources.venues import VENUES
from tests.fakes.parsed import runs_of


@pytest.fixture(params=VENUES)
def venue(request: pytest.FixtureRequest) -> Venue:
    return VENUES[request.param]


def settings_of(venue: Venue) -> Feed:
    return Feed.model_validate(
        {"venue": venue.name, "origin": "replay", "ws_url": "ws://127.0.0.1:1", "rest_url": "http://127.0.0.1:1"}
    )


def test_the_settings_name_every_venue_and_no_other() -> None:
    assert set(VENUES) == set(get_args(Feed.model_fields["venue"].annotation))


def test_every_venue_builds_its_own_feed(venue: Venue) -> None:
    feed = venue.feed(settings_of(venue))
    plans = feed.plans({"BTCUSDT": ()})
    assert feed.venue == venue.name
    assert all(plan.url.startswith("ws://127.0.0.1:1") for plan in plans)
    assert {"trade", "aggTrade"} & {kind for plan in plans for _, kind in plan.names.values()}


def test_every_parser_refuses_what_is_no_message(venue: Venue) -> None:
    parsed = venue.parser().parse(RawFrames("market", [b"no message"], 1))
    assert not runs_of(parsed)
    assert len(parsed.rejected) == 1


async def test_every_rest_interface_is_opened_and_closed(venue: Venue) -> None:
    async with venue.rest(settings_of(venue), Rest()) as rest:
        assert rest.rate_limit.bans == 0


def test_an_origin_without_an_address_is_refused(venue: Venue) -> None:
    nowhere = settings_of(venue).model_copy(update={"ws_url": None, "rest_url": None})
    with pytest.raises(ValueError, match="ws_url"):
        venue.feed(nowhere)
    with pytest.raises(ValueError, match="rest_url"):
        venue.rest(nowhere, Rest())
