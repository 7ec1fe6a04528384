import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.replay.market.market import Message
from sources.replay.market.player import TURN, MarketClock, Player, Speed, decode_speed
from sources.replay.synthetic.market import SyntheticMarket
from tests.fakes.scripted_market import BEGIN_MS, ScriptedMarket, trade_message, trade_messages


class Clock:
    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


async def at_once() -> None:
    pass


def player_of(market: ScriptedMarket, speed: Speed, out: list[list[Message]]) -> Player:
    return Player(
        market,
        speed=speed,
        wanted=lambda _: True,
        deliver=out.append,
        ready=at_once,
        monotonic_s=asyncio.get_running_loop().time,
    )


def test_the_clock_passes_at_its_speed_and_stands_while_it_is_held() -> None:
    local = Clock()
    clock = MarketClock(begin_ms=1_000, speed=4, monotonic_s=local)
    local.now_s += 1
    assert clock.now_ms == 1_000
    clock.run()
    local.now_s += 0.5
    assert clock.now_ms == 3_000
    assert clock.wait_s(5_000) == 0.5
    assert clock.wait_s(2_000) == 0
    clock.hold()
    local.now_s += 9
    assert clock.now_ms == 3_000
    clock.run()
    local.now_s += 1
    assert clock.now_ms == 7_000


@given(
    st.lists(st.tuples(st.floats(0, 1_000), st.one_of(st.floats(0.001, 1e6), st.sampled_from(["hold", "run"])))),
)
def test_the_time_goes_on_from_where_it_is_whatever_changes(changes: list[tuple[float, float | str]]) -> None:
    local = Clock()
    clock = MarketClock(begin_ms=BEGIN_MS, speed=1.0, monotonic_s=local)
    speed, runs, passed_ms = 1.0, False, 0.0
    for after_s, change in changes:
        local.now_s += after_s
        passed_ms += after_s * 1_000 * speed * runs
        before_ms = clock.now_ms
        assert before_ms == pytest.approx(BEGIN_MS + passed_ms, rel=1e-9, abs=1)
        match change:
            case "hold":
                clock.hold()
                runs = False
            case "run":
                clock.run()
                runs = True
            case float():
                clock.change_speed(change)
                speed = change
        assert clock.now_ms == before_ms


def test_many_changes_lose_no_time() -> None:
    local = Clock()
    clock = MarketClock(begin_ms=BEGIN_MS, speed=1.0, monotonic_s=local)
    clock.run()
    for _ in range(4_000):
        local.now_s += 0.00025
        clock.change_speed(1.0)
    assert clock.now_ms == pytest.approx(BEGIN_MS + 1_000, abs=1)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"speed": 0}', "0 is no speed: write a number above 0, at most 1,000,000"),
        (b'{"speed": -1}', "-1 is no speed"),
        (b'{"speed": 1000000.5}', "is no speed"),
        (b'{"speed": 1e400}', "out of range"),
        (b'{"speed": NaN}', "invalid character"),
        (b'{"speed": "max"}', "Expected `float`, got `str`"),
        (b'{"speed": true}', "Expected `float`, got `bool`"),
        (b'{"speed": 1, "and": 2}', "unknown field `and`"),
        (b"{}", "missing required field `speed`"),
        (b"[" * 100_000, "Expected `object`, got `array`"),
        (b'{"speed": "\xff"}', "Expected `float`, got `str`"),
        (b"", "truncated"),
    ],
)
def test_what_is_no_speed_is_refused_with_a_sentence(body: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_speed(body)


async def test_as_fast_as_possible_means_full_turns_in_order() -> None:
    out: list[list[Message]] = []
    sent = trade_messages(2 * TURN + 3)
    player = player_of(ScriptedMarket(sent), "max", out)
    await player.play()
    assert [len(turn) for turn in out] == [TURN, TURN, 3]
    assert [message for turn in out for message in turn] == sent
    assert player.played == len(sent)
    assert player.now_ms == sent[-1].due_ms


async def test_in_time_no_message_leaves_before_it_is_due() -> None:
    loop = asyncio.get_running_loop()
    sent = [trade_message(number, due_ms=BEGIN_MS + 1_000 * number) for number in range(4)]
    left: list[tuple[Message, float]] = []
    player = Player(
        ScriptedMarket(sent),
        speed=50,
        wanted=lambda _: True,
        deliver=lambda turn: left.extend((message, loop.time()) for message in turn),
        ready=at_once,
        monotonic_s=loop.time,
    )
    began = loop.time()
    await player.play()
    assert [message for message, _ in left] == sent
    assert all(at - began >= 0.02 * number for number, (_, at) in enumerate(left))


async def test_what_nobody_wants_neither_hastens_the_market_nor_stops_everything_else() -> None:
    loop = asyncio.get_running_loop()
    sent = [trade_message(number, due_ms=BEGIN_MS + number) for number in range(5_000)]
    speeds: tuple[Speed, ...] = (20.0, "max")
    for speed in speeds:
        turns = 0

        def count(_: list[Message]) -> None:
            nonlocal turns
            turns += 1

        player = Player(
            ScriptedMarket(sent),
            speed=speed,
            wanted=lambda _: False,
            deliver=count,
            ready=at_once,
            monotonic_s=loop.time,
        )
        began_s = loop.time()
        await player.play()
        assert turns >= 2
        assert speed == "max" or loop.time() - began_s >= 0.19  # all but the lead of 5 s at twenty times the speed


async def test_a_market_behind_its_time_that_nobody_wants_leaves_others_their_turns() -> None:
    turns = 0

    async def something_else() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.create_task(something_else())
    player = Player(
        ScriptedMarket([trade_message(number, due_ms=BEGIN_MS) for number in range(10_000)]),
        speed=1.0,
        wanted=lambda _: False,
        deliver=lambda _: None,
        ready=at_once,
        monotonic_s=asyncio.get_running_loop().time,
    )
    await player.play()
    other.cancel()
    assert turns >= 3  # one for each 2,048 messages passed over, but for that in which it begins


async def test_a_paused_market_neither_plays_nor_ages() -> None:
    out: list[list[Message]] = []
    player = player_of(ScriptedMarket(trade_messages(3)), 1_000, out)
    player.pause()
    playing = asyncio.create_task(player.play())
    await asyncio.sleep(0)
    assert player.paused
    assert player.now_ms == BEGIN_MS
    assert out == []
    player.resume()
    await playing
    assert [message for turn in out for message in turn] == trade_messages(3)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 0.01), st.one_of(st.floats(20, 5_000), st.booleans())), max_size=8))
def test_the_same_messages_leave_whatever_the_speed(changes: list[tuple[float, float | bool]]) -> None:
    asyncio.run(check_what_leaves(changes))


async def check_what_leaves(changes: list[tuple[float, float | bool]]) -> None:
    sent = [trade_message(number, due_ms=BEGIN_MS + 50 * number) for number in range(60)]
    out: list[Message] = []
    times = [BEGIN_MS]

    def deliver(turn: list[Message]) -> None:
        times.append(player.now_ms)
        assert all(message.due_ms <= times[-1] for message in turn)
        out.extend(turn)

    player = Player(
        ScriptedMarket(sent), speed=100.0, wanted=lambda _: True, deliver=deliver, ready=at_once,
        monotonic_s=asyncio.get_running_loop().time,
    )  # fmt: skip
    playing = asyncio.create_task(player.play())
    for after_s, change in changes:
        await asyncio.sleep(after_s)
        times.append(player.now_ms)
        match change:
            case True:
                player.pause()
            case False:
                player.resume()
            case _:
                player.change_speed(change)
                assert player.speed == change
        times.append(player.now_ms)
    player.resume()
    await playing
    assert out == sent
    assert times == sorted(times)


async def test_a_market_that_crawls_hastens_at_once_when_its_speed_is_changed() -> None:
    out: list[list[Message]] = []
    sent = [trade_message(0), trade_message(1, due_ms=BEGIN_MS + 3_600_000)]
    player = player_of(ScriptedMarket(sent), 0.001, out)
    playing = asyncio.create_task(player.play())
    while not out:
        await asyncio.sleep(0.001)
    player.change_speed(1_000_000)
    await asyncio.wait_for(playing, 120)
    assert [message for turn in out for message in turn] == sent


async def test_where_clients_set_the_pace_there_is_no_speed_to_change() -> None:
    with pytest.raises(ValueError, match="has no speed to change"):
        player_of(ScriptedMarket([]), "max", []).change_speed(2.0)


async def test_rest_never_knows_what_the_streams_have_not_told() -> None:
    market = ScriptedMarket([trade_message(number, due_ms=BEGIN_MS + 1_000 * number) for number in range(20)])
    out: list[list[Message]] = []
    player = player_of(market, 100, out)
    playing = asyncio.create_task(player.play())
    while not playing.done():
        await asyncio.sleep(0.001)
        if player.paused:
            player.resume()
        else:
            player.pause()
        told = [message.due_ms for turn in out for message in turn]
        assert market.now_ms == max(told, default=BEGIN_MS) <= player.now_ms
    await playing
    assert market.now_ms == BEGIN_MS + 19_000


def traded(market: SyntheticMarket, until_ms: int) -> list[dict[str, Any]]:
    rows = market.agg_trades("BTCUSDT", from_id=None, start_ms=BEGIN_MS, end_ms=None, limit=1_000)
    return [row for row in rows if row["T"] <= until_ms]


async def test_what_is_over_is_skipped_unseen_and_the_market_goes_on_as_if_it_had_been_played() -> None:
    market, twin = (SyntheticMarket("spot", ("BTCUSDT",), seed=7, start_ms=BEGIN_MS) for _ in range(2))
    begin_ms = market.now_ms
    skipped_to_ms = begin_ms + 25_000  # in the middle of a segment
    out: list[Message] = []
    goes_on = asyncio.Event()

    def deliver(turn: list[Message]) -> None:
        out.extend(message for message in turn if message.stream == "btcusdt@aggTrade")
        if len(out) > 3:
            goes_on.set()

    player = Player(
        market, speed=100.0, wanted=lambda stream: stream == "btcusdt@aggTrade" and skipped, deliver=deliver,
        ready=at_once, monotonic_s=asyncio.get_running_loop().time,
    )  # fmt: skip
    skipped = False
    player.skip(lambda: skipped_to_ms)
    skipped = True
    assert (player.now_ms, player.played, out) == (skipped_to_ms, 0, [])
    played = twin.play(lambda stream: stream == "btcusdt@aggTrade")
    next(message for message in played if message.due_ms > skipped_to_ms)
    assert traded(market, skipped_to_ms) == traded(twin, skipped_to_ms) != []

    playing = asyncio.create_task(player.play())
    await goes_on.wait()
    playing.cancel()
    last_ms = out[-1].due_ms
    next(message for message in played if message.due_ms > last_ms)
    assert [row["T"] for row in traded(market, last_ms)] == [row["T"] for row in traded(twin, last_ms)]
    assert out[0].due_ms >= skipped_to_ms


async def test_a_market_without_a_clock_has_no_time_to_skip_to() -> None:
    with pytest.raises(ValueError, match="as fast as its clients read"):
        player_of(ScriptedMarket([]), "max", []).skip(lambda: BEGIN_MS)
