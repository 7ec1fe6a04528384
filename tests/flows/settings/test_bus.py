from pathlib import Path

import pytest

from flows.settings import Api, Bus, Feed, Settings, load_settings


def test_without_an_address_there_is_no_bus() -> None:
    assert not Settings().follows_bus


def test_an_interface_reads_the_bus_unless_it_is_given_hubs() -> None:
    bus = Bus(url=("nats://n1:4222",))
    assert Settings(bus=bus).follows_bus
    assert not Settings(bus=bus, api=Api(hub_urls=("ws://127.0.0.1:8765/ws",))).follows_bus


@pytest.mark.parametrize(
    ("shard", "name", "expected"), [("1/1", None, "flow"), ("2/3", None, "2of3"), ("2/3", "tokyo", "tokyo")]
)
def test_a_flow_is_named_by_its_shard(shard: str, name: str | None, expected: str) -> None:
    assert Settings(feed=Feed(shard=shard), bus=Bus(flow=name)).flow_name == expected


def test_secrets_of_the_bus_are_shown_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("hidden-word\n")
    monkeypatch.setenv("MARKETFLOW_BUS__URL", "nats://n1:4222,nats://n2:4222")
    monkeypatch.setenv("MARKETFLOW_BUS__USER", "flow")
    monkeypatch.setenv("MARKETFLOW_BUS__PASSWORD_FILE", str(secret))
    monkeypatch.setenv("MARKETFLOW_BUS__TOKEN", "other-word")
    bus = load_settings().bus
    assert bus.url == ("nats://n1:4222", "nats://n2:4222")
    assert bus.password
    assert bus.password.reveal() == "hidden-word"
    assert "word" not in repr(bus).replace("password", "")
