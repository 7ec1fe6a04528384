import httpx
import pytest
from websockets.asyncio.client import connect

from sources.replay.exchange.control import PAGE, is_admitted, policy_of
from sources.replay.exchange.server import running_exchange
from sources.replay.faults.catalogue import catalogue
from sources.replay.market.lives import Life
from sources.replay.synthetic.market import SyntheticMarket
from tests.fakes.scripted_market import BEGIN_MS, ScriptedMarket, trade_messages


async def test_state_tells_what_is_going_on() -> None:
    async with (
        running_exchange(ScriptedMarket(trade_messages(3)), paused=True) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as http,
        connect(exchange.ws_url + "/stream?streams=btcusdt@trade"),
    ):
        before = (await http.get("/control/state")).json()
        assert before["clients"][0].pop("buffered_bytes") == 0
        assert before == {
            "venue": "binance",
            "kind": "spot",
            "symbols": ["BTCUSDT", "ETHUSDT"],
            "lives": {},
            "plays": "",
            "speed": "max",
            "begin": BEGIN_MS,
            "now": BEGIN_MS,
            "played": 0,
            "paused": True,
            "finished": False,
            "used_weight": 0,
            "clients": [
                {
                    "id": 1,
                    "remote": "127.0.0.1",
                    "route": "",
                    "combined": True,
                    "streams": ["btcusdt@trade"],
                    "half_open": False,
                    "sent": 0,
                }
            ],
            "backlog_bytes": 0,
            "clients_cut": 0,
            "fault_budget": {
                "most_bytes_per_s": exchange.limits.fault_bytes_per_s,
                "bytes": 0,
                "dropped": 0,
                "held_bytes": 0,
                "not_held": 0,
            },
            "faults": [],
        }
        resumed = await http.post("/control/resume")
        assert not resumed.json()["paused"]
        await exchange.finished.wait()
        after = (await http.get("/control/state")).json()
        assert (after["played"], after["finished"], after["now"]) == (3, True, BEGIN_MS + 2)
        assert (await http.post("/control/pause")).json()["paused"]


async def test_faults_are_ordered_shown_and_cleared() -> None:
    async with (
        running_exchange(ScriptedMarket()) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as http,
    ):
        gap = {"fault": "gap", "stream": "btcusdt@trade", "count": 5}
        await http.post("/control/faults", json=gap)
        await http.post("/control/faults", json={"fault": "refuse", "status": 503, "count": 2})
        await http.get("/api/v3/ping")
        shown = (await http.get("/control/state")).json()["faults"]
        assert shown == [
            gap | {"after": 0, "left": 5},
            {
                "fault": "refuse",
                "status": 503,
                "path": "/",
                "count": 2,
                "retry_after_s": 1,
                "code": -1000,
                "text": "",
                "left": 1,
            },
        ]
        assert (await http.delete("/control/faults")).json()["faults"] == []


async def test_a_bad_order_is_told_why() -> None:
    async with (
        running_exchange(ScriptedMarket()) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as http,
    ):
        unknown = await http.post("/control/faults", json={"fault": "flood"})
        assert unknown.status_code == 400
        assert "faults are drop, half_open" in unknown.json()["error"]
        nobody = await http.post("/control/faults", json={"fault": "drop", "client": 7})
        assert (nobody.status_code, nobody.json()) == (400, {"error": "no client 7; connected are none"})
        for _ in range(100):
            await http.post("/control/faults", json={"fault": "gap"})
        full = await http.post("/control/faults", json={"fault": "gap"})
        assert full.json() == {"error": "100 faults are on already; clear them first"}
        page = await http.post("/control/pause", headers={"Origin": "https://example.org"})
        assert page.status_code == 403


async def test_a_symbol_is_halted_by_order_and_its_state_is_shown() -> None:
    market = SyntheticMarket(
        "spot", ["BTCUSDT", "NEWUSDT"], seed=1, start_ms=BEGIN_MS, lives={"NEWUSDT": Life(is_listed=False)}
    )
    async with (
        running_exchange(market, paused=True) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as http,
    ):
        assert (await http.get("/control/state")).json()["symbols"] == ["BTCUSDT"]
        unknown = await http.get("/api/v3/depth", params={"symbol": "NEWUSDT"})
        assert (unknown.status_code, unknown.json()["code"]) == (400, -1121)
        order = {"symbol": "NEWUSDT", "change": "list", "after_s": 600}
        shown = (await http.post("/control/lives", json=order)).json()["lives"]
        coming = [{"at": BEGIN_MS + 600_000, "state": "trading"}]
        assert shown == {
            "BTCUSDT": {"state": "trading", "coming": []},
            "NEWUSDT": {"state": "unlisted", "coming": coming},
        }
        refused = await http.post("/control/lives", json={"symbol": "BTCUSDT", "change": "resume"})
        assert (refused.status_code, refused.json()) == (
            400,
            {"error": "BTCUSDT is trading then: resume changes nothing"},
        )


async def test_at_another_speed_the_market_goes_on_with_the_messages_that_it_has() -> None:
    market, twin = (SyntheticMarket("spot", ["BTCUSDT"], seed=3, start_ms=BEGIN_MS) for _ in range(2))
    stream = "btcusdt@aggTrade"
    times = [BEGIN_MS]
    sent: list[bytes] = []
    async with (
        running_exchange(market, speed=1.0) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as http,
        connect(f"{exchange.ws_url}/ws/{stream}") as client,
    ):
        for speed in (20.0, 4.0, 40.0, 8.0, 30.0):
            state = (await http.post("/control/speed", json={"speed": speed})).json()
            assert state["speed"] == speed
            times.append(state["now"])
            sent += [await client.recv(decode=False) for _ in range(int(speed / 2))]
            times.append((await http.get("/control/state")).json()["now"])
        own = twin.play(lambda name: name == stream)
        assert sent == [next(own).data for _ in sent]
        assert times == sorted(times)
        refused = await http.post("/control/speed", json={"speed": 0})
        assert (refused.status_code, refused.json()) == (
            400,
            {"error": "0 is no speed: write a number above 0, at most 1,000,000"},
        )
        assert (await http.get("/control/state")).json()["speed"] == 30.0
        foreign = await http.post("/control/speed", json={"speed": 1}, headers={"Origin": "https://example.org"})
        assert foreign.status_code == 403


async def test_a_market_at_the_pace_of_its_clients_has_no_speed_to_change() -> None:
    async with (
        running_exchange(ScriptedMarket()) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as http,
    ):
        refused = await http.post("/control/speed", json={"speed": 10})
        assert refused.status_code == 400
        assert refused.json() == {"error": "a market that is played as fast as its clients read has no speed to change"}


@pytest.mark.parametrize(
    ("origin", "host", "admitted"),
    [
        (None, "replay.example:9443", True),
        ("http://127.0.0.1:9443", "127.0.0.1:9443", True),
        ("http://localhost:9443", "localhost:9443", True),
        ("http://[::1]:9443", "[::1]:9443", True),
        ("http://localhost", "localhost", True),
        ("null", "127.0.0.1:9443", False),
        ("", "127.0.0.1:9443", False),
        ("https://127.0.0.1:9443", "127.0.0.1:9443", False),
        ("http://127.0.0.1:8080", "127.0.0.1:9443", False),
        ("http://localhost:9443", "127.0.0.1:9443", False),
        # A foreign name that is made to point at this machine.
        ("http://evil.example:9443", "evil.example:9443", False),
        ("http://localhost.evil.example:9443", "localhost.evil.example:9443", False),
        ("http://127.0.0.1.evil.example", "127.0.0.1.evil.example", False),
        ("http://10.0.0.5:9443", "10.0.0.5:9443", False),
        ("http://", "", False),
        ("http://[", "[", False),
    ],
)
def test_pages_of_other_origins_are_refused(origin: str | None, host: str, admitted: bool) -> None:
    assert is_admitted(origin, "http", host) is admitted


async def test_the_page_is_served_to_its_own_origin_and_may_use_nothing_else() -> None:
    async with (
        running_exchange(ScriptedMarket()) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as http,
    ):
        page = await http.get("/control")
        assert page.headers["content-type"].startswith("text/html")
        policy = page.headers["content-security-policy"]
        assert policy == policy_of(PAGE.read_text())
        assert "default-src 'none'" in policy
        assert "://" not in page.text
        for path in ("/control", "/control/faults"):
            assert (await http.get(path, headers={"Origin": "https://example.org"})).status_code == 403
        own = await http.post("/control/pause", headers={"Origin": exchange.rest_url})
        assert (own.status_code, own.json()["paused"]) == (200, True)
        assert (await http.get("/control/faults")).json() == catalogue()
