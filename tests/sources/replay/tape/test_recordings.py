import gzip
from pathlib import Path

import pytest
import zstandard
from structlog.testing import capture_logs

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


LINES = [
    b'%d {"stream":"btcusdt@trade","data":{"n":%d}}\n' % (number, number * 7919 % 10_007) for number in range(20_000)
]
"""Enough for several blocks of zstd."""


@pytest.mark.parametrize("suffix", [".tape.zst", ".gz"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_tape_that_is_cut_off_is_played_as_far_as_it_goes_and_says_so_once(
    tmp_path: Path, suffix: str, share: float
) -> None:
    whole = (
        tape(tmp_path / "whole.tape.zst", *LINES).read_bytes() if "zst" in suffix else gzip.compress(b"".join(LINES))
    )
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(whole[: int(len(whole) * share)])
    with capture_logs() as logs:
        found = [line.received_ns for line in read_lines(path, "spot")]
    assert 0 < len(found) < len(LINES)
    assert found == list(range(len(found)))
    assert [(entry["event"], entry["path"], entry["lines"]) for entry in logs] == [
        ("tape_ends_early", str(path), len(found))
    ]


def test_a_tape_of_a_recorder_that_was_killed_between_two_messages_ends_early_too(tmp_path: Path) -> None:
    writer = zstandard.ZstdCompressor().compressobj()
    flushed = writer.compress(HEADER + LINES[0]) + writer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    path = tmp_path / "a.tape.zst"
    path.write_bytes(flushed)
    with capture_logs() as logs:
        assert len(list(read_lines(path, "spot"))) == 1
    assert [entry["lines"] for entry in logs] == [2]


@pytest.mark.parametrize("suffix", [".tape.zst", ".gz"])
def test_a_whole_tape_says_nothing_and_may_be_of_several_parts(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    pack = zstandard.ZstdCompressor().compress if "zst" in suffix else gzip.compress
    path.write_bytes(pack(b"".join(LINES[:10_000])) + pack(b"".join(LINES[10_000:])))
    with capture_logs() as logs:
        assert [line.received_ns for line in read_lines(path, "spot")] == list(range(len(LINES)))
    assert logs == []


@pytest.mark.parametrize("suffix", [".tape.zst", ".gz"])
def test_what_cannot_be_decompressed_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"no compressed file at all")
    with pytest.raises(ValueError, match=f"a{suffix} cannot be decompressed"):
        list(read_lines(path, "spot"))


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


@pytest.mark.parametrize("line", [b"nonsense", b"10", b'{"stream":"btcusdt@trade","data":{}}', b"9" * 20 + b" {}"])
def test_a_line_without_a_time_of_receipt_is_named(line: bytes, tmp_path: Path) -> None:
    path = tape(tmp_path / "a.tape.zst", HEADER, line + b"\n")
    with pytest.raises(ValueError, match=r"a\.tape\.zst, line 2"):
        list(read_lines(path, "spot"))


WRONG = [b"nonsense", b"[1]", b'{"stream":5}', b'"\xff"', b"[" * 100_000, b'{"frame":"AAAA"}', b'{"stream":"x@trade"}']


def test_what_is_no_message_of_the_recorded_symbols_is_left_out_and_counted(tmp_path: Path) -> None:
    good = b'10 {"stream":"btcusdt@trade","data":' + TRADE + b"}\n"
    path = tape(tmp_path / "a.tape.zst", HEADER, *(b"10 %b\n%b" % (wrong, good) for wrong in WRONG))
    with capture_logs() as logs:
        assert list(read_lines(path, "spot")) == [Line(10, "btcusdt@trade", TRADE)] * len(WRONG)
    (entry,) = logs
    assert (entry["event"], entry["path"], entry["messages"]) == ("tape_messages_left_out", str(path), len(WRONG))
    assert entry["first"].startswith("line 2: ")


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
