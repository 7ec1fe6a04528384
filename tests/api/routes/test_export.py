"""Files of stored data, as they come over HTTP."""

import csv
import gzip
import json
from collections.abc import Sequence
from io import BytesIO, StringIO
from typing import Any

import polars as pl
import pytest
from aiohttp import ClientPayloadError
from structlog.testing import capture_logs

from api.http.responses import accepts_gzip
from api.routes import export
from sinks.export import rows
from tests.fakes.candles import BEGIN, candle, stats
from tests.fakes.interface import Deployment, Interface, fill, interface

MINUTE = 60_000


async def fetched(served: Interface, path: str) -> tuple[bytes, Any]:
    """The body as it came, and the headers of the answer."""
    sent = {"Accept-Encoding": "identity"}
    async with served.session.get(f"{served.url}/api/export/{path}", headers=sent) as response:
        assert response.status == 200, await response.text()
        return await response.read(), response.headers


def column(text: bytes, name: str) -> list[str]:
    return [row[name] for row in csv.DictReader(StringIO(text.decode()))]


async def test_each_format_has_all_candles(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "DOCUMENT_ROWS", 3)  # several parts
    fill(deployment)
    async with interface(deployment) as served:
        text, headers = await fetched(served, "candles/btc-usdt/1m")
        assert headers["Content-Type"] == "text/csv; charset=utf-8"
        assert headers["Content-Disposition"] == 'attachment; filename="binance_BTCUSDT_1m_candles.csv"'
        assert column(text, "timestamp") == [f"2026-01-01T00:{minute:02}:00.000Z" for minute in range(10)]
        closes = [100.0 + minute for minute in range(10)]
        assert list(map(float, column(text, "close"))) == closes

        found: dict[str, Sequence[float]] = {}
        body, _ = await fetched(served, "candles/BTCUSDT/1m?format=json")
        answer = json.loads(body)
        assert (answer["success"], answer["error"]) == (True, None)
        found["json"] = [one["close"] for one in answer["data"]]
        body, _ = await fetched(served, "candles/BTCUSDT/1m?format=ndjson")
        found["ndjson"] = [json.loads(line)["close"] for line in body.splitlines()]
        body, _ = await fetched(served, "candles/BTCUSDT/1m?format=arrow")
        found["arrow"] = pl.read_ipc_stream(BytesIO(body))["close"].to_list()
        body, headers = await fetched(served, "candles/BTCUSDT/1m?format=parquet")
        found["parquet"] = pl.read_parquet(BytesIO(body))["close"].to_list()
        assert int(headers["Content-Length"]) == len(body)
        assert found == dict.fromkeys(("json", "ndjson", "arrow", "parquet"), closes)

        span = f"start={BEGIN + 2 * MINUTE}&end=2026-01-01T00:05:00Z"
        body, _ = await fetched(served, f"candles/BTCUSDT/1m?{span}")
        assert list(map(float, column(body, "close"))) == [102.0, 103.0, 104.0]
        body, _ = await fetched(served, f"candles/BTCUSDT/1m?{span}&limit=2&bom=true")
        assert body.startswith(b"\xef\xbb\xbftimestamp,")
        assert len(body.splitlines()) == 3
        body, _ = await fetched(served, "candles/BTCUSDT/1h")
        assert len(body.splitlines()) == 1, "the header alone"


async def test_trades_statistics_and_incidents_are_files_too(deployment: Deployment) -> None:
    fill(deployment)
    deployment.store([stats(minute) for minute in range(3)])
    async with interface(deployment) as served:
        trades, _ = await fetched(served, "trades/BTCUSDT")
        assert column(trades, "id") == [str(number) for number in range(1, 41)]
        assert column(trades, "timestamp")[0] == "2026-01-01T00:00:01.000Z"
        statistics, _ = await fetched(served, "statistics/BTCUSDT")
        assert len(column(statistics, "time")) == 3
        incidents, _ = await fetched(served, "incidents?format=ndjson")
        assert [(one["kind"], one["first_id"]) for one in map(json.loads, incidents.splitlines())] == [("gap", 7)]
        assert await served.error("/api/export/incidents?venue=nowhere") == (404, "unknown_venue")
        assert await served.error("/api/export/candles/BTCUSDT/7m") == (400, "bad_request")
        assert await served.error("/api/export/candles/BTCUSDX/1m") == (404, "unknown_symbol")
        assert await served.error("/api/export/trades/BTCUSDT?format=xlsx") == (400, "bad_request")


async def test_a_file_is_compressed_for_those_who_can_read_it(deployment: Deployment) -> None:
    fill(deployment)
    async with interface(deployment) as served:
        plain, headers = await fetched(served, "candles/BTCUSDT/1m")
        assert ("Content-Encoding" in headers, headers["Vary"]) == (False, "Accept-Encoding")
        async with served.session.get(
            f"{served.url}/api/export/candles/BTCUSDT/1m", headers={"Accept-Encoding": "gzip"}, auto_decompress=False
        ) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            assert gzip.decompress(await response.read()) == plain


async def test_a_record_that_cannot_be_read_ends_before_the_first_byte(deployment: Deployment) -> None:
    fill(deployment)
    deployment.store([candle(20, close="much")])
    async with interface(deployment) as served:
        assert await served.error("/api/export/candles/BTCUSDT/1m") == (500, "unreadable_data")


async def test_a_file_that_breaks_off_has_no_end_and_is_a_line_in_the_log(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rows, "DOCUMENT_ROWS", 3)
    fill(deployment)
    deployment.store([candle(20, close="much")])
    async with interface(deployment) as served:
        with capture_logs() as logged:
            async with served.session.get(f"{served.url}/api/export/candles/BTCUSDT/1m") as response:
                assert response.status == 200
                with pytest.raises(ClientPayloadError):
                    await response.read()
    lines = [one for one in logged if one["event"] == "response_broken_off"]
    assert [(one["log_level"], one["path"]) for one in lines] == [("warning", "/api/export/candles/BTCUSDT/1m")]
    assert "cannot be read" in lines[0]["reason"]
    assert caplog.records == []


async def test_more_exports_than_allowed_are_refused_for_the_moment(
    served: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "AT_ONCE", 0)
    assert await served.error("/api/export/trades/BTCUSDT") == (503, "not_ready")


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("", False), ("gzip", True), ("GZIP", True), ("gzip;q=0", False), ("gzip; q=0.0", False),
        ("gzip;q=0.001", True),
        ("br, gzip;q=0.5", True), ("*", True), ("*;q=0", False), ("gzip;q=0, *", False), ("identity;q=1, *;q=0", False),
        ("x-gzip", True), ("gzippy", False), ("gzip;q=x", False),
    ],
)  # fmt: skip
def test_gzip_is_used_where_the_client_allows_it(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted
