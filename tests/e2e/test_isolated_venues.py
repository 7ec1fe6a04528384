"""One flow of all venues, of which one lies, is slow, and is away in the end: what is stored and said of the others is
what a flow without that venue, on the same markets, stores and says.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedOK

from api.live.messages import ms_of
from flows.model import DAY_MS
from sources.replay.faults.content_faults import WrongTime
from sources.replay.faults.orders import AnyFault, ClockSkew, Drop, Late, WrongAnswer
from tests.fakes.deployment import HubClient, RunningFlow, hub_client, running_flow, without_silence
from tests.fakes.several_venues import (
    BEGIN_MS,
    FOUR,
    Exchange,
    assert_equals_the_exchange,
    exchanges,
    one_exchange,
    settings_for,
    until,
    until_closed,
    until_complete,
)
from tests.fakes.twins import Stored, candles_of, differences, trades_of

pytestmark = pytest.mark.e2e

SPEED = 8.0
TRADES_PER_S = 2.0
FAULTY, *OTHERS = FOUR
WHOLE_MS = -(-BEGIN_MS // 60_000) * 60_000
"""The first minute that both flows have seen as a whole."""
MOST_EARLY = 2
ENDLESS = 1_000_000
"""More messages than there are."""
CURRENT = {"live", "quiet"}
"""States of what is current."""
STARVED = {"silent", "unsynced"}
"""Those of what is not read in time on a busy machine; a line that is lost is `cut`."""
PATIENT = {
    "feed__streams": "aggTrade,kline,depth",
    # what is closed by time alone is amended: one version more than in a run that had the time for all trades
    "feed__close_grace_ms": 60_000,
    "feed__proof_grace_ms": 500,
    "feed__request_pause_ms": 0,
}


@asynccontextmanager
async def following(
    folder: Path, mongod_uri: str, found: Sequence[Exchange]
) -> AsyncIterator[tuple[RunningFlow, HubClient]]:
    """A flow whose lines are all live, and a client that has subscribed to what it says of them."""
    folder.mkdir()
    settings = settings_for(folder, mongod_uri, found, **PATIENT)
    async with running_flow(folder, **settings) as flow, hub_client(flow.hub_url) as client:
        await client.subscribe("Status", "Incident")
        live: set[tuple[str, str]] = set()

        def all_live(message: dict[str, Any]) -> bool:
            live.update((one["venue"], one["line"]) for one in statuses([message]) if one["state"] == "live")
            return len(live) >= 2 * len(found)  # one line has trades, the other one books

        if not any(all_live(message) for message in client.messages):
            await client.until(all_live)
        yield flow, client


async def heard(client: HubClient) -> None:
    """Reads on until the hub ends the connection, however long that takes."""
    with suppress(ConnectionClosedOK):
        while True:
            await client.until(lambda _: True)


def statuses(messages: Sequence[dict[str, Any]], *, has: str = "line") -> list[dict[str, Any]]:
    """The data of the statuses of lines, or of what else has such a field; those of snapshots included."""
    parts = [part for one in messages for part in (one["data"]["messages"] if one["type"] == "Snapshot" else [one])]
    return [part["data"] for part in parts if part["type"] == "Status" and has in part["data"]]


def states(messages: Sequence[dict[str, Any]], venue: str) -> set[tuple[str, str]]:
    """All states of a venue's channels."""
    found = [one for one in statuses(messages, has="channels") if one["venue"] == venue]
    return {(part["channel"], part["state"]) for one in found for part in one["channels"]}


def incidents(messages: Sequence[dict[str, Any]], venue: str) -> list[dict[str, Any]]:
    """All incidents of a venue."""
    return [one["data"] for one in messages if one["type"] == "Incident" and one["data"]["venue"] == venue]


def compared(messages: Sequence[dict[str, Any]], venue: str) -> list[dict[str, Any]]:
    """The incidents that both flows must have. Not those of the minute in which each has begun at another moment, nor
    what one says that is starved on a busy machine: silences, and a message or two that come before older ones, in a
    market that is played at many times its pace.
    """
    found = [one for one in without_silence(incidents(messages, venue)) if ms_of(one["begin"]) >= WHOLE_MS]
    early = [one for one in found if one["kind"] == "reject" and "ahead of the venue's" in one["cause"]]
    assert len(early) <= MOST_EARLY, early
    return [one for one in found if one not in early]


def stored(folder: Path, mongod_uri: str, venue: str) -> Stored:
    """All that is stored of a venue."""
    documents = [one for one in candles_of(mongod_uri, folder.name) if one["venue"] == venue]
    return documents, trades_of(folder, venue)


async def ordered(exchange: Exchange, *faults: AnyFault) -> None:
    """Starts faults."""
    for fault in faults:
        await asyncio.to_thread(exchange.served.inject, fault)


async def lies(faulty: Exchange, flow: RunningFlow, others: Sequence[Exchange]) -> None:
    """All times that it sends are wrong, those of trades and candles by a day, all by a week."""
    wrong = [WrongTime(stream=f"*@{kind}", by_ms=DAY_MS, count=ENDLESS) for kind in ("aggTrade", "kline_1m")]
    await ordered(faulty, *wrong, ClockSkew(by_ms=7 * DAY_MS))
    await until_closed(1, flow, *others)
    await asyncio.to_thread(faulty.served.clear_faults)


async def is_slow(faulty: Exchange, flow: RunningFlow, others: Sequence[Exchange]) -> None:
    """Its messages are late, and its answers never end; many are needed, as its connections were cut."""
    late = Late(stream="*", hold_ms=5_000, count=ENDLESS)
    await ordered(faulty, WrongAnswer(form="stalled", count=None), late, Drop())
    await until_closed(1, flow, *others)


async def test_what_becomes_of_one_venue_changes_nothing_of_the_others(mongod_uri: str, tmp_path: Path) -> None:
    alone, all_four = tmp_path / "alone", tmp_path / "all_four"
    with ExitStack() as stays, exchanges(*OTHERS, speed=SPEED, trades_per_s=TRADES_PER_S) as others:
        faulty = stays.enter_context(one_exchange(FAULTY, speed=SPEED, trades_per_s=TRADES_PER_S))
        async with (
            following(alone, mongod_uri, others) as (calm_flow, calm),
            following(all_four, mongod_uri, [faulty, *others]) as (flow, client),
        ):
            hearing = [asyncio.create_task(heard(one)) for one in (calm, client)]
            for one in (faulty, *others):
                one.served.resume()
            await until_closed(1, flow, faulty, *others)
            begins = [len(one.messages) for one in (calm, client)]

            await lies(faulty, flow, others)
            lied = {one["kind"] for one in incidents(client.messages, FAULTY)}
            await is_slow(faulty, flow, others)
            await asyncio.to_thread(stays.close)
            await until_closed(1, flow, *others)
            await until_complete({alone: calm_flow, all_four: flow}, *others)

            def found() -> list[tuple[Any, ...]]:
                both = [[stored(folder, mongod_uri, venue) for folder in (alone, all_four)] for venue in OTHERS]
                return [found for calm_one, one in both for found in differences(calm_one, one)]

            with suppress(TimeoutError):  # what differs says more
                await until(lambda: not found(), calm_flow, flow)
            assert found() == []
            assert [await one.stop() for one in (calm_flow, flow)] == [0, 0], flow.said()
            await asyncio.gather(*hearing)
        assert found() == []  # nothing is written at the end that differs
        for one in others:
            assert_equals_the_exchange(all_four, mongod_uri, one)
    for venue in OTHERS:
        ours, theirs = (compared(one.messages, venue) for one in (client, calm))
        assert ours == theirs, [one for one in (*ours, *theirs) if one not in ours or one not in theirs]
        seen, expected = (
            states(one.messages[at:], venue) for one, at in zip((client, calm), begins[::-1], strict=True)
        )
        assert {(channel, state) for channel, state in seen - expected if state not in CURRENT | STARVED} == set()
        assert seen & {("trades", state) for state in CURRENT}
    assert "reject" in lied
    assert {"disconnect", "reconnect"} <= {one["kind"] for one in incidents(client.messages, FAULTY)}
    assert ("trades", "cut") in states(client.messages, FAULTY)
