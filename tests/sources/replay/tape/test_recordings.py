import gzip
from pathlib import Path

import pytest
import zstandard

from sources.replay.tape.recordings import Line, is_of_market, is_recording, read_lines

HEADER = b'{"format":"marketflow-tape","version":1,"venue":"binance","symbols":["BTCUSDT"],"started_ns":5}\n'
TRADE = b'{"e":"trade","E":1,"s":"BTCUSDT"}'
BOOK = b'{"lastUpdateId":7,"bids":[],"asks":[]}'


def tape(path: Path, *lines: bytes) -> Path:
    path.write_bytes(zstandard.ZstdCompressor().compress(b"".join(lines)))
    return path


def test_own_tape(tmp_path: Path) -> None:
    path = tape(
        tmp_path / "a.tape.zst",
        HEADER,
        b'10 {"stream":"btcusdt@trade","data":' + TRADE + b"}\n",
        b'11 {"rest":"/api/v3/depth?symbol=BTCUSDT&limit=1000","data":' + BOOK + b"}\n",
        b'12 {"rest":"/api/v3/time","data":{"serverTime":1}}\n',
        b'13 {"stream":"btcusdt@trade","data":{"e":"tr',
    )
    assert list(read_lines(path, "spot")) == [Line(10, "btcusdt@trade", TRADE), Line(11, "btcusdt@snapshot", BOOK)]


def test_raw_recording_takes_the_symbol_of_a_snapshot_from_its_name(tmp_path: Path) -> None:
    path = tmp_path / "ethusdt_20240808.gz"
    path.write_bytes(gzip.compress(b"3 " + BOOK + b"\n"))
    assert list(read_lines(path, "spot")) == [Line(3, "ethusdt@snapshot", BOOK)]


def test_capture_with_its_answers(tmp_path: Path) -> None:
    path = tmp_path / "BINANCE.ws.1.0"
    path.write_bytes(b'wss://x?streams=a <-> 1.0\n1.5: {"stream":"nknusdt@trade","data":' + TRADE + b"}\n")
    (tmp_path / "BINANCE.http.0.0").write_bytes(
        b"https://x/api/v3/depth?symbol=NKNUSDT&limit=9 -> 1.25: " + BOOK + b"\n"
    )
    assert list(read_lines(path, "spot")) == [
        Line(1_250_000_000, "nknusdt@snapshot", BOOK),
        Line(1_500_000_000, "nknusdt@trade", TRADE),
    ]


def test_an_unreadable_line_is_named(tmp_path: Path) -> None:
    path = tape(tmp_path / "a.tape.zst", HEADER, b"10 nonsense\n")
    with pytest.raises(ValueError, match=r"a\.tape\.zst, line 2"):
        list(read_lines(path, "spot"))


@pytest.mark.parametrize(("kind", "header"), [("usdm", HEADER), ("spot", HEADER.replace(b"1,", b"2,", 1))])
def test_a_tape_of_another_venue_or_version_is_refused(tmp_path: Path, kind: str, header: bytes) -> None:
    path = tape(tmp_path / "a.tape.zst", header)
    with pytest.raises(ValueError, match=r"line 1: is (a|no) "):
        list(read_lines(path, kind))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("btcusdt_20240808.gz", True),
        ("a.tape.zst", True),
        ("BINANCE.ws.1.0", True),
        ("KRAKEN.ws.48.0", False),
        ("binance_spot_BTCUSDT_5m.csv.gz", False),
        ("LICENSE.hftbacktest", False),
    ],
)
def test_recordings_by_name(name: str, expected: bool) -> None:
    assert is_recording(Path(name)) is expected


def test_captures_belong_to_one_market() -> None:
    assert is_of_market(Path("BINANCE_FUTURES.ws.1.0"), "usdm")
    assert not is_of_market(Path("BINANCE_FUTURES.ws.1.0"), "spot")
    assert is_of_market(Path("btcusdt_20240808.gz"), "usdm")
