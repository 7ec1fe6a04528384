"""The page's clock: the same rules as `api/live/venue_time.py`, in the page's own script."""

import json

from tests.fakes.node import printed

PLAY = """
const { Freshness } = await import(process.argv[1]);
let now = 0;
const freshness = new Freshness(() => now);
const iso = (ms) => new Date(1_767_225_600_000 + ms).toISOString();
freshness.open("ws", "binance");
const shown = [];
for (const [at, time, clock] of JSON.parse(process.argv[2])) {
  now = at;
  freshness.take({ venue: "binance", state: "alive", time: iso(time), clock }, "ws");
  freshness.take({ venue: "binance", symbol: "X", state: "silent", since: iso(0), reason: "", channels: [] }, "ws");
  shown.push(freshness.of("binance", "X").text);
}
console.log(JSON.stringify(shown));
"""


def shown(*heartbeats: tuple[int, int, str]) -> list[str]:
    """How long the exchange is silent, as the page says it after each heartbeat: local time, venue's time, clock."""
    said: list[str] = json.loads(printed(PLAY, "freshness.js", json.dumps(heartbeats)))
    return said


def silent_for(*seconds: int) -> list[str]:
    return [f"exchange silent for {one} s" for one in seconds]


def test_ages_go_on_while_the_clock_is_unsure() -> None:
    unsure = [(at * 1_000, 3_000, "unsure") for at in (12, 30, 50)]
    assert shown((3_000, 3_000, "sure"), *unsure, (51_000, 51_000, "sure")) == silent_for(3, 12, 30, 50, 51)


def test_heartbeats_that_waited_while_the_page_was_halted_are_no_sign_of_life_and_make_nothing_younger() -> None:
    waited = [(20_000, time, "sure") for time in (4_000, 12_000, 19_000)]
    said = shown((3_000, 3_000, "sure"), *waited, (21_000, 21_000, "sure"))
    assert said == [*silent_for(3), "unknown for 17 s", "unknown for 17 s", *silent_for(20, 21)]


def test_after_a_halt_a_venue_that_was_set_back_meanwhile_is_believed_when_two_seconds_say_so() -> None:
    beats = [(at * 1_000, at * 1_000 - 5_000, "sure") for at in (21, 22, 23)]
    said = shown((3_000, 3_000, "sure"), *beats)
    assert said == [*silent_for(3), "unknown for 18 s", "unknown for 19 s", *silent_for(18)]


def test_a_venue_that_is_set_back_is_followed_when_all_heartbeats_of_two_seconds_say_so() -> None:
    beats = [(at * 1_000, at * 1_000 - 5_000, "sure") for at in (21, 22, 23)]
    assert shown((20_000, 20_000, "sure"), *beats) == silent_for(20, 21, 22, 18)


HAS = """
const { Freshness } = await import(process.argv[1]);
const freshness = new Freshness(() => 0);
freshness.open("ws", "binance");
const found = [];
for (const channels of JSON.parse(process.argv[2])) {
  const told = channels.map((channel) => ({ channel, state: "live", since: null, reason: "" }));
  freshness.take({ venue: "binance", symbol: "X", state: "live", since: null, reason: "", channels: told }, "ws");
  found.push(freshness.has("binance", "X", "liquidations"));
}
console.log(JSON.stringify(found));
"""


def test_a_channel_is_missing_only_where_the_channels_are_known() -> None:
    told = [[], ["trades", "mark"], ["trades", "liquidations"]]
    assert json.loads(printed(HAS, "freshness.js", json.dumps(told))) == [True, False, True]
