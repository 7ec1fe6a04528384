"""No key, secret, token or signature of a deployment is in anything that it writes, serves or shows."""

import asyncio
import base64
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import zstandard
from pymongo import MongoClient

from flows.recovery import prepare
from flows.settings import SettingsError, load_settings
from sources.replay.exchange.threaded import exchange_in_thread
from sources.replay.venues.coinbase.accounts.keys import new_name
from tests.fakes.deployment import (
    START_S,
    HubClient,
    environment_of,
    flow_settings,
    free_port,
    hub_client,
    running_flow,
    running_interface,
)
from tests.fakes.operated_account import DEMO_KEYS, PEERS, OperatedAccount, Peer
from tests.fakes.venue_peers import PEERS as SERVED
from tests.fakes.warm import started
from tests.sources.coinbase.account.test_loopback import DEMO_PUBLIC_KEY

pytestmark = pytest.mark.e2e

TOKENS: Final = {
    "hub__token": "hub-t0ken-of-markets",
    "hub__account_token": "hub-t0ken-of-accounts",
    "api__token": "api-t0ken-of-markets",
    "api__account_token": "api-t0ken-of-accounts",
}
OWNER: Final = "0wnerOfTheAccount"
"""The account's name at the exchange, which the flow does not know."""
SIGNED: Final = {"a signature": "signature=", "a token of Coinbase": base64.b64encode(b'{"alg":"E').decode()}
"""How each of them begins."""
BEGIN_MS: Final = 1_767_225_600_000
ROUTES: Final = (
    "/api/status", "/api/incidents", "/api/balance", "/api/positions", "/api/quality", "/metrics", "/openapi.json",
)  # fmt: skip


def key_of(peer: Peer) -> dict[str, str]:
    """A key of the account, and its secret."""
    name, secret = ("K3yOfAnAccount" * 5)[:64], ("S3cretOfAnAccount" * 4)[:64]
    if peer == "kraken":
        name, secret = name[:56], base64.b64encode(secret.encode()).decode()
    elif peer == "coinbase":
        name, secret = new_name(), DEMO_KEYS["coinbase"].secret
    return {"feed__api_key": name, "feed__api_secret": secret}


def found_in(secrets: Mapping[str, str], places: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Which secrets are where; of one of several lines, any that is not all of them have."""
    return [
        (name, place)
        for name, secret in secrets.items()
        for line in secret.splitlines()
        if not line.startswith("-----")
        for place, text in places.items()
        if line.encode() in text
    ]


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def let_in(http: httpx.AsyncClient, peer: Peer, key: Mapping[str, str]) -> None:
    """The exchange takes the key."""
    new = {"account": OWNER, "api_key": key["feed__api_key"]}
    own = {"secret": key["feed__api_secret"]}
    if peer == "coinbase":
        own = {"kind": "es256", "public_key": DEMO_PUBLIC_KEY}
    reply = await http.post("/control/keys", json=new | own)
    assert reply.status_code == 200, reply.text


async def given_by(http: httpx.AsyncClient) -> dict[str, str]:
    """What the exchange has given for private streams: listen keys and tokens."""
    accounts = (await http.get("/control/accounts")).json()["accounts"]
    [own] = [one for one in accounts if one["account"] == OWNER]
    given = [own.get("listen_key"), *own.get("tokens", ())]
    return {f"given {number}": one for number, one in enumerate(given) if one}


def recorded(tape: Path) -> bytes:
    """What is on a tape so far."""
    return zstandard.ZstdDecompressor().decompressobj().decompress(tape.read_bytes()) if tape.exists() else b""


async def record(account: OperatedAccount, folder: Path, settings: dict[str, Any], *flags: str) -> bytes:
    """A tape of the exchange while the account is moved, the command line first."""
    tape = folder / f"{''.join(flags) or 'market'}.tape.zst"
    command = ("sources.record", "--symbols", account.symbol, "--minutes", "60", "--out", str(tape), *flags)
    awaited = (b'"AccountSnapshot"', b'"AccountEvent"') if flags else (b"rade",)
    with (folder / f"{tape.name}.log").open("wb") as log:
        process = await started(*command, cwd=folder, env=environment_of(settings), out=log)
        async with asyncio.timeout(START_S):
            while not all(one in recorded(tape) for one in awaited):
                await account.move()
                await asyncio.sleep(0.2)
        line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        process.send_signal(signal.SIGINT)
        await process.wait()
    return line + recorded(tape)


def live(message: Any) -> bool:
    news = message["data"]["messages"] if message["type"] == "Snapshot" else [message]
    return any(one.get("type") == "Account" and one["data"]["state"] == "live" for one in news)


async def until_live(client: HubClient) -> None:
    if not any(map(live, client.messages)):
        await client.until(live)


async def stored_in(mongod_uri: str, database: str) -> dict[str, bytes]:
    with MongoClient[dict[str, Any]](mongod_uri) as mongo:
        stored = mongo[database]
        return {
            f"collection {name}": str(list(stored[name].find())).encode() for name in stored.list_collection_names()
        }


@pytest.mark.parametrize("peer", PEERS)
async def test_a_deployment_shows_no_secret_anywhere(peer: Peer, mongod_uri: str, tmp_path: Path) -> None:
    symbol = SERVED[peer].symbols[0]
    made = SERVED[peer].market([symbol], seed=3, start_ms=BEGIN_MS, trades_per_s=5.0)
    prepare(tmp_path / "recovery")
    key = key_of(peer)
    with exchange_in_thread(made.market, dialect=made.dialect, speed=5.0, start_now=True) as exchange:
        settings: dict[str, Any] = flow_settings(
            tmp_path, exchange.rest_url, mongod_uri,
            feed__venue=peer, feed__symbols=symbol, feed__timeframes="1m",
            feed__ws_url=exchange.ws_url + SERVED[peer].ws_path,
            hub__port=free_port(), metrics__enabled=True, metrics__port=free_port(), log__level="DEBUG",
            **key, **TOKENS,
        )  # fmt: skip
        flags = ("-r", str(tmp_path / "recovery"), "-s", "1", "-b", "0")
        async with httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as http:
            await let_in(http, peer, key)
            account = OperatedAccount(peer, http, OWNER)
            await account.order("deposit", asset="USDT" if symbol == "BTCUSDT" else "USD", amount="100000")
            async with running_flow(tmp_path, *flags, **settings) as flow:
                url = f"{flow.hub_url}?token={TOKENS['hub__account_token']}"
                async with (
                    running_interface(tmp_path, **settings) as served,
                    hub_client(url) as client,
                    httpx.AsyncClient(headers={"Authorization": f"Bearer {TOKENS['api__account_token']}"}) as caller,
                ):
                    channels = ("ChartUpdate", "Trade", "Status", "Incident", "Balance", "Position", "Account")
                    await client.subscribe(*channels)
                    await until_live(client)
                    await account.move()
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
            shown["tape of the market"] = await record(account, tmp_path, settings)
            shown["tape of the account"] = await record(account, tmp_path, settings, "--accounts")
            given = await given_by(http)
    shown |= await stored_in(mongod_uri, tmp_path.name)
    written = files_in(tmp_path)
    assert b'"account"' not in shown["tape of the market"]
    assert {"flow.log", "api.log"} <= written.keys()
    assert any(name.startswith("recovery/") for name in written)
    assert any(name.startswith("trades/") for name in written)
    assert b"broadcast_started" in written["flow.log"]
    assert bool(given) == (peer in ("binance-usdm", "kraken"))
    assert found_in({**key, **TOKENS, **given, **SIGNED, "owner": OWNER}, shown | written) == []


SECRETS: Final = key_of("binance") | TOKENS


def test_the_settings_are_shown_and_refused_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, secret in SECRETS.items():
        monkeypatch.setenv(f"MARKETFLOW_{name.upper()}", secret)
    settings = load_settings()
    assert found_in(SECRETS, {"repr": repr(settings).encode(), "str": str(settings.feed).encode()}) == []
    with pytest.raises(SettingsError) as refused:
        load_settings(feed={"shard": "9", "api_secret": SECRETS["feed__api_secret"], "api_key": "a b\nc"})
    assert found_in(SECRETS, {"error": str(refused.value).encode()}) == []
