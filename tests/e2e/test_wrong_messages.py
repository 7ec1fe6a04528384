"""Messages that cannot be true, from the exchange to the stores, at the pace of the local clock: whatever one of them
says, the stores hold what the exchange itself says afterwards, prices go on, and the refusal is counted with a reason.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest
from pymongo import AsyncMongoClient

from api.live.messages import ms_of
from flows.model import DAY_MS
from sinks.mongo.commands import CommandClient, DesiredSubscription
from sources.replay.faults import content_faults as contents
from sources.replay.faults import orders as faults
from sources.replay.faults.orders import AnyFault
from tests.fakes.playing import PACED_S, PATIENCE_S, SYMBOLS, UNNOTICED_MS, Deployment, playing
from tests.fakes.tapes import spot_recording
from tests.fakes.young_market import YoungMarket

pytestmark = pytest.mark.e2e

HOUR_MS = 3_600_000
BEGIN_MS = 1_767_225_600_000 + DAY_MS - 15_000
"""Shortly before the end of a day: a minute and the day end while it is played."""
TRADES_PER_S = 15
AGGREGATES = "btcusdt@aggTrade"
DIFFERENCES = "btcusdt@depth@100ms"
SKEWED_S = 4
WRONG_S = 6
"""Longer than it takes for messages that agree to set the clock."""
YEAR_3000_MS = 32_503_680_000_000
SAFE = 1 << 53
"""Beyond the whole numbers that a float has."""


def young_market() -> YoungMarket:
    """A market that begins with its first trade."""
    return YoungMarket(SYMBOLS, start_ms=BEGIN_MS, trades_per_s=TRADES_PER_S)


async def test_times_ids_and_values_that_cannot_be(mongod_uri: str, tmp_path: Path) -> None:
    async with playing(tmp_path / "cannot_be", mongod_uri, young_market(), trades__retention_days=1) as deployment:
        await deployment.serve()
        await refuses_times(deployment)
        await assert_young(deployment)
        await deployment.becomes_ready()
        await refuses_ids(deployment)
        await corrects_values(deployment)
        await deployment.assert_stored()
        assert "retention" not in {one["kind"] for one in deployment.listener.of_type("Incident")}


async def refuses_times(deployment: Deployment) -> None:
    """None of them is believed."""
    for by_ms in (HOUR_MS, 10 * DAY_MS, YEAR_3000_MS - BEGIN_MS, -HOUR_MS):
        for insert in (False, True):
            await deployment.refuses(contents.WrongTime(stream=AGGREGATES, by_ms=by_ms, fields=("T",), insert=insert))
    for by_ms in (HOUR_MS, 10 * DAY_MS, YEAR_3000_MS - BEGIN_MS):
        for stream in (AGGREGATES, "btcusdt@kline_1s", "ethusdt@ticker", DIFFERENCES):
            await deployment.refuses(contents.WrongTime(stream=stream, by_ms=by_ms))
    await deployment.book_is_right("BTCUSDT")


async def refuses_ids(deployment: Deployment) -> None:
    """None of them is believed, and the book is the exchange's afterwards."""
    for wrong in IDS:
        for insert in (False, True):
            await deployment.refuses(contents.WrongId(stream=AGGREGATES, insert=insert, **wrong))
    for fields in (("u",), ("U", "u")):
        for insert in (False, True):
            await deployment.refuses(contents.WrongId(stream=DIFFERENCES, fields=fields, by=SAFE, insert=insert))
            await deployment.book_is_right("BTCUSDT")


async def corrects_values(deployment: Deployment) -> None:
    """Those that look like true ones are corrected in both stores."""
    for field, text in (("q", "999999999"), ("p", "90000.00"), ("q", "0.5")):
        since = deployment.listener.place
        await deployment.inject(contents.WrongValue(stream=AGGREGATES, field=field, text=text))
        await deployment.incident("mismatch", "ours wrong", since=since)
        replaced = await deployment.incident("mismatch", "stored with other values", since=since)
        assert "its REST side has the new ones" in replaced["outcome"]
    await deployment.goes_on()


async def assert_young(deployment: Deployment) -> None:
    """Waits until the interface says of every price that it is of now, by the venue's clock."""

    async def is_young() -> bool:
        prices = {one["symbol"]: one for one in await deployment.ask("/api/prices")}
        now_ms = await asyncio.to_thread(deployment.witness.server_time)
        return all(
            prices[name]["age_ms"] < 5_000
            and not prices[name]["stale"]
            and abs(prices[name]["timestamp"] - now_ms) < 5_000
            for name in SYMBOLS
        )

    await deployment.until_so(is_young)


async def test_a_wrong_time_of_all_messages_that_rest_contradicts_and_a_clock_that_comes_back_harm_nothing(
    mongod_uri: str, tmp_path: Path
) -> None:
    async with playing(tmp_path / "jump", mongod_uri, young_market(), feed__close_grace_ms=2_000) as deployment:
        await deployment.serve()
        for by_ms in (HOUR_MS, 10 * DAY_MS):
            await passes(deployment, contents.WrongTime(stream="*", by_ms=by_ms, count=1_000_000), for_s=WRONG_S)
            await assert_young(deployment)
        await deployment.becomes_ready()
        assert "clock" not in {one["kind"] for one in deployment.listener.of_type("Incident")}
        before = len(deployment.reasons())
        for by_ms in (DAY_MS, HOUR_MS):
            await passes(deployment, faults.ClockSkew(by_ms=by_ms), for_s=SKEWED_S)
        await assert_young(deployment)
        await deployment.becomes_ready()
        await deployment.assert_stored()
        assert deployment.reasons()[before:]


async def passes(deployment: Deployment, fault: AnyFault, *, for_s: float) -> None:
    """Orders a fault at a time when the local clock is a witness, and takes it back."""
    await asyncio.sleep(PACED_S)
    await deployment.inject(fault)
    await asyncio.sleep(for_s)
    await asyncio.to_thread(deployment.exchange.clear_faults)
    await deployment.goes_on()


async def test_trades_whose_times_carry_them_into_another_period_go_back_in_the_store(
    mongod_uri: str, tmp_path: Path
) -> None:
    async with playing(tmp_path / "carried", mongod_uri, young_market()) as deployment:
        for by_ms in (3_000, -3_000):
            await asyncio.sleep(PACED_S)
            since = deployment.listener.place
            wrong = contents.WrongTime(stream=AGGREGATES, by_ms=by_ms, fields=("T",), count=2 * TRADES_PER_S)
            await deployment.inject(wrong)
            await deployment.incident("mismatch", "ours wrong", since=since)
            await deployment.incident("mismatch", "stored with other values", since=since)
        await deployment.goes_on()
        await deployment.assert_stored(may_be_early=True)


async def test_a_clock_that_jumps_and_stays_is_followed(mongod_uri: str, tmp_path: Path) -> None:
    async with playing(tmp_path / "stays", mongod_uri, young_market()) as deployment:
        await deployment.inject(faults.ClockSkew(by_ms=HOUR_MS))
        await deployment.incident("clock", "set anew")
        await deployment.goes_on(skew_ms=HOUR_MS)
        beat = await deployment.listener.until(
            lambda m: m["type"] == "Status" and m["data"]["state"] == "alive", since=deployment.listener.place
        )
        skewed_ms = await asyncio.to_thread(deployment.witness.server_time)
        assert abs(ms_of(beat["data"]["time"]) - skewed_ms) < HOUR_MS // 2
        await deployment.assert_stored()


IDS: list[dict[str, Any]] = [
    {"fields": ["f"], "by": 10},
    {"fields": ["l"], "by": SAFE},
    {"fields": ["a"], "by": 3},
    {"fields": ["a"], "by": 500},
    {"fields": ["a"], "by": SAFE},
    {"fields": ["a", "f", "l"], "by": SAFE},
]


async def test_a_process_that_is_stopped_and_killed_after_wrong_messages(mongod_uri: str, tmp_path: Path) -> None:
    async with playing(tmp_path / "killed", mongod_uri, young_market(), feed__close_grace_ms=2_000) as deployment:
        for kill in (True, False):
            await spoil(deployment)
            await deployment.end(kill=kill)
            await deployment.start()
            await deployment.goes_on()
        os.kill(deployment.flow.pid, signal.SIGSTOP)
        await asyncio.sleep(8)
        os.kill(deployment.flow.pid, signal.SIGCONT)
        await deployment.goes_on()
        await deployment.assert_stored()


async def spoil(deployment: Deployment) -> None:
    """One wrong message of each sort that the recovered state could keep."""
    for by_ms in (HOUR_MS, YEAR_3000_MS - BEGIN_MS):
        await deployment.refuses(contents.WrongTime(stream=AGGREGATES, by_ms=by_ms))
    for wrong in IDS:
        await deployment.refuses(contents.WrongId(stream=AGGREGATES, **wrong))
    await deployment.inject(contents.WrongId(stream=AGGREGATES, fields=("a", "f", "l"), by=SAFE, count=1))


ODD_TEXTS = (
    '{"result":null,"id":987654}',
    '{"error":{"code":{"x":[1]},"msg":["a"]},"id":null}',
    '{"code":-1,"msg":"<img src=x onerror=alert(1)> ignore all rules"}',
    '{"id":{"id":{"id":1}},"result":[[[]]]}',
    '{"id":1e400,"result":null}',
    '"',
    "[" * 200_000,
    '{"stream":"btcusdt@aggTrade","data":null}',
    '{"stream":5,"data":[]}',
)
HOSTILE = (
    "X{n}USDT",
    "<img src=x onerror=alert(1)>",
    "",
    "../../etc/passwd",
    "\u202eTDSU",
    "BTCUSDT ",
    "$where",
    "A" * 5_000,
)
REWRITES: tuple[Literal["both", "stream", "payload"], ...] = ("both", "stream", "payload")
FOREIGN = 20_000
MOST_GROWTH_KB = 150_000
"""Of the process, for messages that leave no trace."""


async def test_frames_that_cannot_be_and_streams_without_a_subscription(mongod_uri: str, tmp_path: Path) -> None:
    async with playing(tmp_path / "frames", mongod_uri, young_market()) as deployment:
        for where in ("stream", "value", "begin", "end"):
            await deployment.refuses(contents.BadBytes(stream=AGGREGATES, where=where))
        for form in ("arrays", "envelopes"):
            await deployment.refuses(contents.Nested(stream=AGGREGATES, form=form, insert=True))
        await deployment.inject(contents.Nested(stream=AGGREGATES, form="payload"))
        await deployment.goes_on()
        for text in ODD_TEXTS:
            await deployment.inject(faults.Send(text=text))
        await deployment.inject(faults.Send(hex="ff" * 100))
        await deployment.goes_on()
        await assert_foreign_leave_no_trace(deployment)
        for reply in ODD_TEXTS[1:4]:
            await deployment.inject(faults.OddReply(text=reply))
            await deployment.inject(faults.Drop(close_code=1008, reason="<script>ignore all rules</script>"))
            since = deployment.listener.place
            await deployment.incident("reconnect", since=since)
            await deployment.goes_on()
        await deployment.inject(contents.Huge(stream=AGGREGATES, insert=True))
        await deployment.incident("reconnect", since=deployment.listener.place)
        await deployment.goes_on()
        await deployment.assert_stored()
        assert_quoted(deployment)


async def assert_foreign_leave_no_trace(deployment: Deployment) -> None:
    """Messages of streams that were not subscribed become no name anywhere."""
    weight, resident = deployment.witness.state()["used_weight"], resident_kb(deployment.flow.pid)
    before = await deployment.refused()
    for symbol in HOSTILE:
        for rewrites in REWRITES:
            await deployment.inject(contents.Foreign(stream=AGGREGATES, symbol=symbol, messages=5, rewrites=rewrites))
    flood = contents.Foreign(stream=AGGREGATES, symbol=HOSTILE[0], messages=FOREIGN // 20, count=20)
    await deployment.refuses(flood, least=FOREIGN)
    assert await deployment.refused() - before >= FOREIGN + 5 * len(HOSTILE)
    assert resident_kb(deployment.flow.pid) - resident < MOST_GROWTH_KB
    assert deployment.witness.state()["used_weight"] - weight < 200
    named = {m["data"]["symbol"] for m in deployment.listener.messages if "symbol" in m["data"]}
    assert named - {""} == set(SYMBOLS)
    assert deployment.stored_symbols() == set(SYMBOLS)


def resident_kb(pid: int) -> int:
    """Memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def assert_quoted(deployment: Deployment) -> None:
    """Whatever the exchange said stands in quotation marks, without markup."""
    texts = [f"{one['cause']} {one['outcome']}" for one in deployment.listener.of_type("Incident")]
    said = [text for text in texts if "ignore all rules" in text]
    assert said
    assert not [text for text in said if "<script" in text or "<img" in text or 'the exchange says: "' not in text]


PAUSE_S = 12
"""Longer than it takes until a market that stands still is silent."""
Form = Literal["flat", "wrapped", "silent"]
FORMS: tuple[Form, ...] = ("flat", "wrapped", "silent")
REFUSED_FOR_S: dict[Form, float] = {"flat": 4.0, "wrapped": 4.0, "silent": 8.0}
"""For an attempt more; where nothing is answered, longer than a line waits."""
HTML = "<script>alert(1)</script> Ignore all previous instructions"


async def test_words_of_the_exchange_are_shown_as_its_own(mongod_uri: str, tmp_path: Path) -> None:
    async with playing(tmp_path / "words", mongod_uri, young_market()) as deployment:
        await deployment.serve()
        await deployment.inject(faults.Refuse(status=400, path="/api/v3/aggTrades", text=HTML, count=2))
        await deployment.inject(faults.Gap(stream=AGGREGATES, count=3))
        await deployment.inject(faults.RefuseSubscribe(stream=AGGREGATES, form="flat", text=HTML, count=1))
        await deployment.inject(faults.Drop(close_code=1008, reason=HTML))
        await deployment.incident("disconnect", "Ignore all previous")
        await deployment.goes_on()
        shown = str(await deployment.ask("/api/quality")) + str(await deployment.ask("/api/status"))
        assert "Ignore all previous" in shown
        assert "<script" not in shown
        assert shown.count("Ignore all previous") == shown.count('says: "< script>alert(1)')
        await deployment.end()  # what REST has denied is asked for again after a minute only


async def test_a_symbol_that_is_refused_cuts_no_other_and_comes_back(mongod_uri: str, tmp_path: Path) -> None:
    quick: dict[str, Any] = {"feed__backoff_max_s": 4, "feed__stale_after_s": 5}
    async with (
        playing(tmp_path / "symbol", mongod_uri, young_market(), **quick) as deployment,
        AsyncMongoClient[dict[str, Any]](mongod_uri) as mongo,
    ):
        petitioner = CommandClient(mongo[deployment.database])
        begin = deployment.listener.place
        for form in FORMS:
            await comes_back(deployment, petitioner, form)
        others = [one for one in deployment.listener.messages[begin:] if is_in_state("BTCUSDT", "cut", one)]
        assert others == []
        incidents = deployment.listener.of_type("Incident", since=begin)
        assert not [one for one in incidents if one["symbol"] == "BTCUSDT" and one["kind"] in ("gap", "repair")]
        assert not [one for one in incidents if one["kind"] == "disconnect" and "ethusdt@" not in one["cause"]]
        lines = [json.loads(line) for line in deployment.flow.said().splitlines() if line.startswith("{")]
        assert sorted(one["line"] for one in lines if one["event"] == "connected") == ["market", "public"]
        await deployment.end()


async def comes_back(deployment: Deployment, petitioner: CommandClient, form: Form) -> None:
    """A symbol is removed, and refused in a form when it is wanted again."""
    since = deployment.listener.place
    await petitioner.set_subscription(DesiredSubscription("binance", "ETHUSDT", wanted=False))
    await deployment.listener.until(lambda m: m["data"].get("state") == "removed", since=since)
    await deployment.inject(faults.RefuseSubscribe(stream="ethusdt@*", form=form, text=HTML))
    wanted = deployment.listener.place
    await petitioner.set_subscription(DesiredSubscription("binance", "ETHUSDT", wanted=True))
    if form != "silent":
        refused = await deployment.incident("disconnect", "subscription of ethusdt@", "Ignore all", since=wanted)
        assert "<script" not in refused["cause"]
        cut = await deployment.listener.until(partial(is_in_state, "ETHUSDT", "cut"), since=wanted)
        assert 'the exchange says: "' in cut["data"]["reason"]
    await asyncio.sleep(REFUSED_FOR_S[form])
    back = deployment.listener.place
    await asyncio.to_thread(deployment.exchange.clear_faults)
    await deployment.listener.until(partial(has_trades, "ETHUSDT"), since=back)
    await deployment.goes_on()


def has_trades(symbol: str, message: dict[str, Any]) -> bool:
    """Whether a message says that the trades of an instrument are of now."""
    channels = message["data"].get("channels", ())
    is_live = {"channel": "trades", "state": "live"}.items()
    return message["data"].get("symbol") == symbol and any(is_live <= one.items() for one in channels)


def is_in_state(symbol: str, state: str, message: dict[str, Any]) -> bool:
    """Whether a message says this of an instrument."""
    data = message["data"]
    return message["type"] == "Status" and data.get("symbol") == symbol and bool(data["state"] == state)


async def test_trades_that_fall_silent_and_an_exchange_that_pauses(mongod_uri: str, tmp_path: Path) -> None:
    async with playing(tmp_path / "silent", mongod_uri, young_market(), feed__stale_after_s=5) as deployment:
        await deployment.serve()
        await deployment.inject(faults.Silence(stream=AGGREGATES, for_ms=8_000))
        await deployment.incident("silent", "fetched")
        await deployment.goes_on()
        await deployment.becomes_ready()
        paused = deployment.listener.place
        await asyncio.to_thread(deployment.exchange.pause)
        stands_ms = await asyncio.to_thread(deployment.witness.server_time)
        await deployment.becomes_ready(ready=False)
        await asyncio.sleep(PAUSE_S)
        assert "silent" in deployment.states(since=paused)
        assert deployment.newest_candle_ms() <= stands_ms + UNNOTICED_MS
        await asyncio.to_thread(deployment.exchange.resume)
        await deployment.goes_on()
        await deployment.becomes_ready()
        for symbol in SYMBOLS:
            await deployment.becomes(symbol, "live")
        await assert_live_since(deployment, stands_ms)
        await deployment.assert_stored()


async def assert_live_since(deployment: Deployment, after_ms: int) -> None:
    """Waits until every instrument is live, and says that it is since then only."""

    async def is_so() -> bool:
        found = (await deployment.ask("/api/status"))["instruments"]
        if any(one["state"] != "live" for one in found):
            return False
        assert all(after_ms < ms_of(one["since"]) and one["for_ms"] >= 0 for one in found), found
        return True

    await deployment.until_so(is_so)


LOOKS = 6
"""At what the interface says."""


async def test_streams_that_are_dead_or_of_which_all_is_refused_are_silent_until_they_speak_again(
    mongod_uri: str, tmp_path: Path
) -> None:
    async with playing(tmp_path / "dead", mongod_uri, young_market()) as deployment:
        await deployment.serve()
        await one_is_dead(deployment)
        for fault in REFUSED:
            await all_is_refused(deployment, fault)
        await deployment.assert_stored()


async def one_is_dead(deployment: Deployment) -> None:
    """The other one stays live."""
    since = deployment.listener.place
    await deployment.inject(faults.Silence(stream="ethusdt@aggTrade"))
    await deployment.incident("silent", "fetched", "ETHUSDT", since=since)
    await deployment.goes_on()

    async def prices() -> dict[str, tuple[bool, str]]:
        return {one["symbol"]: (one["stale"], one["state"]) for one in await deployment.ask("/api/prices")}

    async for found in looks(prices, lambda found: found["BTCUSDT"] == (False, "live")):
        assert found["ETHUSDT"] == (True, "silent")
    await asyncio.to_thread(deployment.exchange.clear_faults)
    await deployment.incident("repair", "aggTrade brings trades again", "ETHUSDT", since=since)
    await deployment.becomes("ETHUSDT", "live")
    cuts = assert_silent_once(deployment, "ETHUSDT", since)
    incidents = [one for one in deployment.listener.of_type("Incident", since=since) if one["kind"] == "silent"]
    assert len(incidents) <= 2 * (1 + cuts), incidents  # its line has noticed the silence, and what was missed


def assert_silent_once(deployment: Deployment, symbol: str, since: int) -> int:
    """It was, and then live; but for cuts of a whole line, which a flow makes that is starved on a busy machine: their
    number.
    """
    states = deployment.states_in_turn(symbol, since=since)
    named = [state for state, _ in states if state != "cut"]
    turns = [state for before, state in pairwise([None, *named]) if state != before]
    assert [state for state in turns if state != "live"] == ["silent"], states
    return len(states) - len(named)


Seen = dict[str, tuple[Any, str]]
"""By symbol, the state last."""


async def looks(look: Callable[[], Awaitable[Seen]], counts: Callable[[Seen], bool]) -> AsyncIterator[Seen]:
    """What is looked at some times, a second apart, when it counts. On a busy machine a flow that is starved is not
    seen for a moment, or cuts its lines, and an exchange that is starved is silent.
    """
    seen = 0
    async with asyncio.timeout(PATIENCE_S):
        while seen < LOOKS:
            await asyncio.sleep(1)
            if counts(found := await look()):
                seen += 1
                yield found


REFUSED: tuple[AnyFault, ...] = (
    faults.ClockSkew(by_ms=-DAY_MS),
    contents.WrongTime(stream="*@aggTrade", by_ms=HOUR_MS, count=10_000),
    contents.WrongId(stream="*@aggTrade", fields=("a", "f", "l"), by=31_337, count=10_000),
)


def is_heard(said: Seen) -> bool:
    """Whether the flow is seen, and hears the exchange."""
    is_starved = {state for _, state in said.values()} in ({"unknown"}, {"cut"})
    return not is_starved and not any("sends nothing" in reason for reason, _ in said.values())


async def all_is_refused(deployment: Deployment, fault: AnyFault) -> None:
    """It is said of every instrument that all is refused, and that some of it is at times."""
    since, begun = deployment.listener.place, time.monotonic()
    await deployment.inject(fault)
    for symbol in SYMBOLS:
        await deployment.becomes(symbol, "silent")

    async def instruments() -> dict[str, tuple[str, str]]:
        status = await deployment.ask("/api/status")
        assert status["missing"]
        return {one["symbol"]: (one["reason"], one["state"]) for one in status["instruments"]}

    async for said in looks(instruments, is_heard):
        assert {state for _, state in said.values()} == {"silent"}, said
        assert all("is refused" in reason for reason, _ in said.values()), said
    rejects = [one for one in deployment.listener.of_type("Incident", since=since) if one["kind"] == "reject"]
    assert 2 <= len(rejects) <= 2 * (time.monotonic() - begun) + 2, rejects
    if isinstance(fault, contents.WrongId):  # refused by the sequence of each instrument: alone, or told together
        for symbol in SYMBOLS:
            assert any(symbol == one["symbol"] or symbol in one["cause"] for one in rejects), rejects
    else:
        assert all(name in rejects[-1]["cause"] for name in SYMBOLS), rejects[-1]
    await asyncio.to_thread(deployment.exchange.clear_faults)
    for symbol in SYMBOLS:
        await deployment.becomes(symbol, "live")
    for symbol in SYMBOLS:
        assert_silent_once(deployment, symbol, since)


async def test_a_recording_at_many_times_its_pace(mongod_uri: str, tmp_path: Path) -> None:
    market = spot_recording()
    quick: dict[str, Any] = {
        "feed__origin": "replay",
        "feed__streams": ["aggTrade", "kline"],
        "feed__timeframes": ["1m", "5m"],
    }
    async with playing(tmp_path / "recording", mongod_uri, market, speed=20.0, **quick) as deployment:
        for by_ms in (HOUR_MS, YEAR_3000_MS - BEGIN_MS, -HOUR_MS):
            await deployment.refuses(contents.WrongTime(stream=AGGREGATES, by_ms=by_ms, fields=("T",)))
            await deployment.inject(contents.WrongTime(stream="btcusdt@kline_1m", by_ms=by_ms))
        for wrong in IDS:
            await deployment.refuses(contents.WrongId(stream=AGGREGATES, insert=True, **wrong))
        await deployment.inject(contents.BadBytes(stream=AGGREGATES, count=5))
        await deployment.inject(contents.Foreign(stream=AGGREGATES, symbol=HOSTILE[0], messages=1_000))
        await deployment.goes_on()
        await deployment.assert_stored()
