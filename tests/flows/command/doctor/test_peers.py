import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from flows.clock import wall_ms
from flows.command.doctor.peers import check_bundled, check_clocks, check_mongo, clock_result
from flows.command.doctor.result import Result
from flows.settings import Feed, Mongo, Settings, load_settings
from tests.fakes.deployment import free_port


@asynccontextmanager
async def exchange(ahead_ms: int) -> AsyncIterator[str]:
    """An exchange whose clock is so far ahead of ours."""

    async def time(_: web.Request) -> web.Response:
        return web.json_response({"serverTime": wall_ms() + ahead_ms})

    app = web.Application()
    app.router.add_get("/api/v3/time", time)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def clocks(settings: Settings) -> list[Result]:
    return list(check_clocks(settings))


def settings(url: str | None, origin: Any = "live") -> Settings:
    return Settings(feed=Feed(rest_url=url, origin=origin))


@pytest.mark.parametrize(("origin", "ahead_ms", "state"), [("live", 3_600_000, "fail"), ("replay", -(10**11), "ok")])
async def test_the_clock_is_compared_with_the_exchanges(origin: str, ahead_ms: int, state: str) -> None:
    async with exchange(ahead_ms) as url:
        [found] = await asyncio.to_thread(clocks, settings(url, origin))
        assert (found.check, found.state) == ("clock of binance", state)


async def test_the_clock_of_each_venue_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETFLOW_VENUES__KRAKEN__REST_URL", f"http://127.0.0.1:{free_port()}")
    async with exchange(60_000) as url:
        monkeypatch.setenv("MARKETFLOW_VENUES__BINANCE__REST_URL", url)
        found = await asyncio.to_thread(clocks, load_settings())
    assert [(one.check, one.state) for one in found] == [("clock of binance", "fail"), ("clock of kraken", "warn")]


@pytest.mark.parametrize(
    ("ahead_ms", "state", "word"),
    [
        (0, "ok", "ahead"),
        (-999, "ok", "behind"),
        (1_000, "warn", "ahead"),
        (-29_999, "warn", "behind"),
        (30_000, "fail", ""),
    ],
)
def test_how_far_a_clock_may_be_away(ahead_ms: int, state: str, word: str) -> None:
    found = clock_result("clock of kraken", ahead_ms)
    assert (found.state, bool(found.remedy)) == (state, state != "ok")
    assert f"{abs(ahead_ms)} ms {word}" in found.found


def test_an_exchange_that_does_not_answer_is_to_be_known_and_one_without_an_address_is_wrong() -> None:
    assert [one.state for one in clocks(settings(f"http://127.0.0.1:{free_port()}"))] == ["warn"]
    assert [one.state for one in clocks(settings(None, "replay"))] == ["fail"]


def test_a_database_that_answers_has_its_version(mongod_uri: str) -> None:
    [found] = check_mongo(Settings(mongo=Mongo(uri=mongod_uri)))
    assert (found.check, found.state) == ("database", "ok")
    assert found.found.startswith("MongoDB ")


def test_where_none_answers_the_bundled_one_is_tried() -> None:
    mongo = Mongo(uri=f"mongodb://127.0.0.1:{free_port()}/?serverSelectionTimeoutMS=100")
    database, bundled = check_mongo(Settings(mongo=mongo))
    assert (database.check, bundled.check) == ("database", "bundled database")
    assert database.state == ("warn" if bundled.state == "ok" else "fail")
    [off] = check_mongo(Settings(mongo=Mongo(enabled=False)))
    assert off.state == "ok"


def test_a_library_that_the_bundled_server_lacks_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "mongod"
    text = "mongod: error while loading shared libraries: libcurl.so.4: cannot open shared object file"
    binary.write_text(f"#!/bin/sh\necho '{text}' >&2\nexit 127\n")
    binary.chmod(0o755)
    found = check_bundled(binary)
    assert found.state == "warn"
    assert "apt-get install libcurl4" in found.found
    assert check_bundled(tmp_path / "absent").state == "warn"
