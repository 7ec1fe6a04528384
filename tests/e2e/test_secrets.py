"""No key, secret or token of a deployment is in anything that it writes, serves or shows."""

from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from pymongo import MongoClient

from flows.recovery import prepare
from flows.settings import SettingsError, load_settings
from sources.replay.exchange.threaded import exchange_in_thread
from tests.fakes.deployment import flow_settings, free_port, hub_client, running_flow, running_interface
from tests.fakes.young_market import YoungMarket

pytestmark = pytest.mark.e2e

SECRETS: Final = {
    "feed__api_key": "K3yOfAnAccount" * 4,
    "feed__api_secret": "S3cretOfAnAccount" * 4,
    "hub__token": "hub-t0ken-of-markets",
    "hub__account_token": "hub-t0ken-of-accounts",
    "api__token": "api-t0ken-of-markets",
    "api__account_token": "api-t0ken-of-accounts",
}
BEGIN_MS: Final = 1_767_225_600_000
ROUTES: Final = (
    "/api/status", "/api/incidents", "/api/balance", "/api/positions", "/api/quality", "/metrics", "/openapi.json",
)  # fmt: skip


def found_in(places: dict[str, bytes]) -> list[tuple[str, str]]:
    """Which secrets are where."""
    return [
        (name, place) for name, secret in SECRETS.items() for place, text in places.items() if secret.encode() in text
    ]


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_a_deployment_shows_no_secret_anywhere(mongod_uri: str, tmp_path: Path) -> None:
    market = YoungMarket(("BTCUSDT",), start_ms=BEGIN_MS, trades_per_s=5)
    prepare(tmp_path / "recovery")
    with exchange_in_thread(market, speed=5.0, start_now=True) as exchange:
        settings: dict[str, Any] = flow_settings(
            tmp_path, exchange.rest_url, mongod_uri,
            feed__origin="synthetic", feed__symbols="BTCUSDT", feed__timeframes="1m", feed__streams="aggTrade,kline",
            hub__port=free_port(), metrics__enabled=True, metrics__port=free_port(), log__level="DEBUG", **SECRETS,
        )  # fmt: skip
        flags = ("-r", str(tmp_path / "recovery"), "-s", "1", "-b", "0")
        async with running_flow(tmp_path, *flags, **settings) as flow:
            url = f"{flow.hub_url}?token={SECRETS['hub__account_token']}"
            async with (
                running_interface(tmp_path, **settings) as served,
                hub_client(url) as client,
                httpx.AsyncClient(headers={"Authorization": f"Bearer {SECRETS['api__account_token']}"}) as caller,
            ):
                await client.subscribe("ChartUpdate", "Trade", "Status", "Incident", "Balance", "Position", "Account")
                await client.until(lambda message: message["type"] == "ChartUpdate")
                shown = {path: (await caller.get(f"{served.url}{path}", timeout=60)).content for path in ROUTES}
                shown["metrics of the flow"] = (
                    await caller.get(f"http://127.0.0.1:{settings['metrics__port']}/metrics", timeout=60)
                ).content
                refused = await caller.get(f"{served.url}/api/balance", headers={"Authorization": "Bearer wrong"})
                shown["refusal"] = refused.content
                for pid in (flow.pid, served.pid):
                    shown[f"command of {pid}"] = Path(f"/proc/{pid}/cmdline").read_bytes()
                shown["broadcast"] = str(client.messages).encode()
            assert await flow.stop() == 0
    with MongoClient[dict[str, Any]](mongod_uri) as mongo:
        stored = mongo[tmp_path.name]
        for name in stored.list_collection_names():
            shown[f"collection {name}"] = str(list(stored[name].find())).encode()
    written = files_in(tmp_path)
    assert {"flow.log", "api.log"} <= written.keys()
    assert any(name.startswith("recovery/") for name in written)
    assert any(name.startswith("trades/") for name in written)
    assert b"broadcast_started" in written["flow.log"]
    assert found_in(shown | written) == []


def test_the_settings_are_shown_and_refused_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, secret in SECRETS.items():
        monkeypatch.setenv(f"MARKETFLOW_{name.upper()}", secret)
    settings = load_settings()
    assert found_in({"repr": repr(settings).encode(), "str": str(settings.feed).encode()}) == []
    with pytest.raises(SettingsError) as refused:
        load_settings(feed={"shard": "9", "api_secret": SECRETS["feed__api_secret"], "api_key": "a b\nc"})
    assert found_in({"error": str(refused.value).encode()}) == []
