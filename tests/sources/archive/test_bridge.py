import threading
from pathlib import Path
from typing import Any

from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, run_main

from flows.model import Coverage, Kline
from sources.archive.bridge import ArchiveSource
from sources.archive.csv_reader import ArchiveError, ArchiveReader
from sources.archive.fetch import check, digest_of, files_in
from sources.archive.files import ArchiveFile, file_named
from sources.archive.manifest import Manifest
from sources.archive.spans import Span, spans_of

KEY = "binance:XUSDT"


class Notes:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.trades = 0
        self.missing: list[str] = []
        self.failures: list[tuple[str, str]] = []

    def on_file(self, file: ArchiveFile) -> None:
        self.files.append(file.name)

    def on_trades(self, trades: int) -> None:
        self.trades += trades

    def on_missing(self, file: ArchiveFile) -> None:
        self.missing.append(file.name)

    def on_failure(self, span: Span, error: ArchiveError) -> None:
        self.failures.append((span.name, str(error)))


def named(name: str) -> ArchiveFile:
    file = file_named(name)
    assert file is not None
    return file


def put(folder: Path, name: str, *, torn: bool = False, number: int = 1) -> ArchiveFile:
    """A file with one trade, or one kline, at its begin."""
    file = named(name)
    row = f"{number},1.5,2,{number},{number},{file.begin},true\n"
    if not file.is_trades:
        row = f"{file.begin},1,1,1,1,5,{file.end - 1},5,1,0,0,0\n"
    (folder / name).write_text(row + ("2,1." if torn else ""))
    return file


def run(folder: Path, spans: list[Span], notes: Notes, *, stop: threading.Event | None = None) -> list[Any]:
    """What comes out of the source; the journal lies beside the files."""

    def get(file: ArchiveFile) -> ArchiveReader | None:
        path = files_in(folder, (file.symbol,)).get(file)
        if path is None:
            return None
        return ArchiveReader(file, path, vouched=check(path))

    manifest = Manifest(folder / "journal.json", stores="")
    out: list[Any] = []
    flow = Dataflow("test")
    source = ArchiveSource("binance", spans, get, manifest=manifest, watcher=notes, stop=stop or threading.Event())
    op.output("out", op.input("in", flow, source), TestingSink(out))
    run_main(flow)
    assert {key for key, _ in out} <= {KEY}
    return [item for _, item in out]


def in_short(items: list[Any]) -> list[str]:
    """What the items are, in a word or two."""
    names = []
    for item in items:
        match item:
            case Coverage(timeframe=timeframe) if timeframe:
                names.append(f"of {timeframe}")
            case Coverage():
                names.append("over" if item.is_over else "whole")
            case Span():
                names.append(" ".join(file.name.removesuffix(".csv") for file in item.files))
            case [Kline(), *_]:
                names.append("klines")
            case _:
                names.append(f"trade {item[0].id}")
    return names


def test_a_span_is_its_klines_its_trades_and_at_last_itself(tmp_path: Path) -> None:
    files = [put(tmp_path, "XUSDT-1d-2024-10-27.csv"), put(tmp_path, "XUSDT-aggTrades-2024-10-27.csv")]
    notes = Notes()
    items = run(tmp_path, spans_of(files, 0, 1 << 62), notes)
    assert in_short(items) == [
        "of 1d", "klines", "whole", "trade 1", "over", "XUSDT-1d-2024-10-27 XUSDT-aggTrades-2024-10-27",
    ]  # fmt: skip
    whole, over = items[2], items[4]
    assert (whole.begin, whole.end, whole.has_trades, over.has_trades) == (files[0].begin, files[0].end, True, True)
    assert (notes.files, notes.trades) == ([file.name for file in files], 1)


def test_what_the_journal_holds_is_not_read_and_what_came_later_is_read_with_its_trades(tmp_path: Path) -> None:
    trades = put(tmp_path, "XUSDT-aggTrades-2024-10-27.csv")
    spans = spans_of([trades], 0, 1 << 62)
    Manifest(tmp_path / "journal.json", stores="").add(spans)
    assert run(tmp_path, spans, Notes()) == []
    klines = put(tmp_path, "XUSDT-1d-2024-10-27.csv")
    assert in_short(run(tmp_path, spans_of([klines, trades], 0, 1 << 62), Notes()))[:4] == [
        "of 1d",
        "klines",
        "whole",
        "trade 1",
    ]


def test_a_month_that_is_not_published_comes_by_its_days(tmp_path: Path) -> None:
    month = named("XUSDT-aggTrades-2024-02.zip")
    for day in month.days()[:2]:
        put(tmp_path, day.name.replace(".zip", ".csv"), number=int(day.begin))
    found = {file.begin: ArchiveReader(file, path) for file, path in files_in(tmp_path, ("XUSDT",)).items()}
    notes = Notes()
    out: list[Any] = []
    flow = Dataflow("test")
    source = ArchiveSource(
        "binance", spans_of([month], 0, 1 << 62), lambda file: None if file.is_month else found.get(file.begin),
        manifest=Manifest(tmp_path / "journal.json", stores=""), watcher=notes, stop=threading.Event(),
    )  # fmt: skip
    op.output("out", op.input("in", flow, source), TestingSink(out))
    run_main(flow)
    wholes = [item for _, item in out if type(item) is Coverage and item.is_over]
    assert [(whole.begin, whole.end) for whole in wholes] == [(day.begin, day.end) for day in month.days()[:2]]
    assert notes.missing == [day.name for day in month.days()[2:]]


def test_klines_without_trades_say_so(tmp_path: Path) -> None:
    klines = put(tmp_path, "XUSDT-1d-2024-10-27.csv")
    notes = Notes()
    spans = spans_of([klines, named("XUSDT-aggTrades-2024-10-27.csv")], 0, 1 << 62)
    _, _, over, span = run(tmp_path, spans, notes)
    assert (over.is_over, over.has_trades, span.files) == (True, False, (klines,))
    assert notes.missing == ["XUSDT-aggTrades-2024-10-27.csv"]


def test_behind_a_file_that_broke_off_nothing_follows_but_behind_one_that_never_began(tmp_path: Path) -> None:
    first = put(tmp_path, "XUSDT-aggTrades-2024-10-27.csv")
    (tmp_path / "XUSDT-aggTrades-2024-10-27.csv.CHECKSUM").write_text("0")
    second = put(tmp_path, "XUSDT-aggTrades-2024-10-28.csv", number=2)
    third = put(tmp_path, "XUSDT-aggTrades-2024-10-29.csv", torn=True)
    digest = digest_of(tmp_path / third.name)
    (tmp_path / f"{third.name}.CHECKSUM").write_text(digest)  # without it, it is read to its end first
    fourth = put(tmp_path, "XUSDT-aggTrades-2024-10-30.csv", number=4)
    notes = Notes()
    items = run(tmp_path, spans_of([first, second, third, fourth], 0, 1 << 62), notes)
    assert in_short(items) == ["whole", "trade 2", "over", "XUSDT-aggTrades-2024-10-28", "whole"]
    assert [name for name, _ in notes.failures] == [first.name, third.name, fourth.name]
    assert ["checksum" in notes.failures[0][1], "cannot be read" in notes.failures[1][1]] == [True, True]
    assert notes.failures[2][1] == f"{fourth.name} waits until what is before it can be read"


def test_it_ends_when_it_is_told_to(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    spans = spans_of([put(tmp_path, "XUSDT-aggTrades-2024-10-27.csv")], 0, 1 << 62)
    assert run(tmp_path, spans, Notes(), stop=stop) == []
