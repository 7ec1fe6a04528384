"""Kraken through the house: replay exchange ▶ flow in a process of its own ▶ both stores ▶ hub and interface."""

from functools import partial
from pathlib import Path

import pytest

from sources.replay.venues.kraken.dialect import synthetic_kraken
from tests.fakes.venue_days import (
    PlayedVenue,
    assert_all_is_there,
    lives_that_end,
    lost_lines,
    venue_playing,
    wrong_messages,
)
from tests.fakes.venue_witness import KrakenWitness

pytestmark = pytest.mark.e2e

KRAKEN = PlayedVenue(
    name="kraken",
    market=partial(synthetic_kraken, requests_per_s=1_000),
    witness=KrakenWitness,
    ws_path="/v2",
    trades="{}@trade",
    books="{}@book-100",
    instrument=lambda symbol: symbol.replace("-", "/"),
)


async def test_whatever_is_lost_on_the_lines_everything_is_stored_once(mongod_uri: str, tmp_path: Path) -> None:
    async with venue_playing(KRAKEN, tmp_path / "lines", mongod_uri, seed=7) as deployment:
        await wrong_messages(KRAKEN, deployment)
        await lost_lines(KRAKEN, deployment)
        await assert_all_is_there(deployment)


async def test_killed_and_started_again_it_stores_everything_once(mongod_uri: str, tmp_path: Path) -> None:
    async with venue_playing(KRAKEN, tmp_path / "lives", mongod_uri, seed=8) as deployment:
        await lives_that_end(deployment)
        await assert_all_is_there(deployment)
