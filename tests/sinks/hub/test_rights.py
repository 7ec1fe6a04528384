"""Which token has which rights, and that a subscription never reaches beyond them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flows.settings import Api, Hub
from sinks.hub.messages import CHANNELS, Topic
from sinks.hub.rights import (
    ACCOUNT_CHANNELS,
    MARKET,
    MARKET_AND_ACCOUNT,
    NO_RIGHTS,
    Rights,
    TokenSettings,
    may_have,
    rights_of,
)
from sinks.hub.subscription import DEFAULT, RequestError, RightError, Rule, Subscription, default_of, parse_request

OPEN, GUARDED = Hub(), Hub(token="market-token")
PRIVATE, BOTH = Hub(account_token="own-token"), Hub(token="market-token", account_token="own-token")


@pytest.mark.parametrize(
    ("settings", "shown", "rights"),
    [
        (OPEN, [], MARKET_AND_ACCOUNT),
        (OPEN, ["anything"], MARKET_AND_ACCOUNT),
        (GUARDED, [], NO_RIGHTS),
        (GUARDED, ["own-token"], NO_RIGHTS),
        (GUARDED, ["market-token"], MARKET),
        (PRIVATE, [], MARKET),
        (PRIVATE, ["wrong"], MARKET),
        (PRIVATE, ["own-token"], MARKET_AND_ACCOUNT),
        (BOTH, [], NO_RIGHTS),
        (BOTH, ["wrong", ""], NO_RIGHTS),
        (BOTH, ["market-token"], MARKET),
        (BOTH, ["own-token"], MARKET_AND_ACCOUNT),
        (BOTH, ["market-token", "own-token"], MARKET_AND_ACCOUNT),
        (BOTH, ["own-toke\udcff"], NO_RIGHTS),
        (Hub(token="same", account_token="same"), ["same"], MARKET_AND_ACCOUNT),
        (Api(token="market-token", account_token="own-token"), ["market-token"], MARKET),
    ],
)
def test_the_rights_of_tokens(settings: TokenSettings, shown: list[str], rights: Rights) -> None:
    assert rights_of(settings, shown) == rights


@pytest.mark.parametrize("server", [Hub, Api])
def test_a_server_beyond_loopback_needs_the_token_of_markets_too(server: type[Hub | Api]) -> None:
    with pytest.raises(ValidationError, match="can be reached from outside"):
        server(host="192.0.2.7", account_token="own-token")
    assert server(host="192.0.2.7", token="market-token").host == "192.0.2.7"


def test_every_channel_needs_one_right() -> None:
    assert {channel for channel in CHANNELS if not may_have(MARKET, channel)} == set(ACCOUNT_CHANNELS)
    assert all(may_have(MARKET_AND_ACCOUNT, channel) for channel in CHANNELS)
    assert not any(may_have(NO_RIGHTS, channel) for channel in CHANNELS)


CHANNEL_NAMES = st.lists(st.sampled_from([*CHANNELS, "*", "balance", ""]), max_size=5)
REQUESTS = st.fixed_dictionaries(
    {"op": st.sampled_from(["subscribe", "unsubscribe"])},
    optional={
        "channels": CHANNEL_NAMES,
        "optional": CHANNEL_NAMES,
        "symbols": st.lists(st.sampled_from(["BTCUSDT", "BTC"]), max_size=2),
        "timeframes": st.lists(st.sampled_from(["1m", "5m"]), max_size=2),
        "venues": st.lists(st.sampled_from(["binance", "kraken"]), max_size=2),
    },
)
TOPICS = [
    Topic(channel, symbol, timeframe, venue)
    for channel in CHANNELS
    for symbol in ("", "BTCUSDT", "BTC")
    for timeframe in ("", "1m")
    for venue in ("", "binance", "kraken")
]


def after(requests: list[dict[str, object]], rights: Rights) -> Subscription:
    """The subscription of a client after its requests, as the hub makes it; refused ones change nothing."""
    subscription = default_of(rights)
    for request in requests:
        try:
            rule = parse_request(json.dumps(request), rights)
            assert isinstance(rule, Rule)
            subscription = subscription.with_rule(rule.named(lambda symbol, _: (symbol,)))
        except RequestError:
            continue
    return subscription.named(lambda symbol, _: (symbol,))


@given(st.lists(REQUESTS, max_size=8), st.sampled_from([MARKET, MARKET_AND_ACCOUNT, NO_RIGHTS]))
def test_no_sequence_of_requests_wants_what_the_rights_do_not_allow(
    requests: list[dict[str, object]], rights: Rights
) -> None:
    subscription = after(requests, rights)
    assert all(may_have(rights, topic.channel) for topic in TOPICS if subscription.wants(topic))
    for rule in subscription.rules:
        alone = subscription.only(rule)
        assert all(may_have(rights, topic.channel) for topic in TOPICS if alone.wants(topic))


@given(st.lists(REQUESTS, max_size=8))
def test_the_right_to_accounts_changes_nothing_about_markets(requests: list[dict[str, object]]) -> None:
    """For requests that name no channel of accounts but as optional."""
    public = [one for one in requests if not set(ACCOUNT_CHANNELS) & set(map(str, one.get("channels", ())))]  # type: ignore[call-overload]
    without, with_right = after(public, MARKET), after(public, MARKET_AND_ACCOUNT)
    of_markets = [topic for topic in TOPICS if topic.channel not in ACCOUNT_CHANNELS]
    assert [without.wants(topic) for topic in of_markets] == [with_right.wants(topic) for topic in of_markets]


def test_clients_with_different_rights_share_nothing() -> None:
    assert default_of(MARKET) != default_of(MARKET_AND_ACCOUNT)
    assert default_of(MARKET) == DEFAULT


@pytest.mark.parametrize("channel", ACCOUNT_CHANNELS)
def test_the_refusal_names_the_channel_the_right_and_the_setting(channel: str) -> None:
    with pytest.raises(RightError) as refused:
        parse_request(json.dumps({"op": "subscribe", "channels": ["Candle", channel]}))
    assert all(word in str(refused.value) for word in (channel, "right account", "hub.account_token"))
    assert "Candle" not in str(refused.value)


def test_an_unsubscription_is_never_refused() -> None:
    rule = parse_request('{"op":"unsubscribe"}')
    assert isinstance(rule, Rule)
    assert rule.channels == frozenset(CHANNELS)


@pytest.mark.parametrize(
    ("request_", "rights", "channels"),
    [
        ({"channels": ["Candle"], "optional": ["Balance"]}, MARKET, {"Candle"}),
        ({"channels": ["Candle"], "optional": ["Balance"]}, MARKET_AND_ACCOUNT, {"Candle", "Balance"}),
        ({"optional": ["Position"]}, MARKET_AND_ACCOUNT, {"MarketData", "ChartUpdate", "Position"}),
    ],
)
def test_optional_channels_are_left_out_without_the_right(
    request_: dict[str, object], rights: Rights, channels: set[str]
) -> None:
    rule = parse_request(json.dumps({"op": "subscribe", **request_}), rights)
    assert isinstance(rule, Rule)
    assert rule.channels == channels


@pytest.mark.parametrize(
    "request_", [{"channels": [], "optional": ["Balance"]}, {"channels": ["Candle"], "optional": ["Nonsense"]}]
)
def test_nothing_that_is_left_and_what_is_no_channel_are_refused(request_: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        parse_request(json.dumps({"op": "subscribe", **request_}))
