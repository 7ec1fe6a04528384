"""Loads tapes into a market.

Times. `original` leaves them unchanged. `now` moves them all by one constant, a whole number of minutes, such that the
tape begins within the minute before this call: its one-minute klines stay the same, longer ones get other boundaries
(history before the tape is moved by whole periods of its own, see `history.shifted`).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Literal

import structlog

from flows.clock import wall_ms
from sources.replay.market.derived import Derive
from sources.replay.market.history import History, shifted
from sources.replay.market.intervals import MINUTE_MS
from sources.replay.market.market import Market, MarketKind
from sources.replay.market.playback import Playback
from sources.replay.market.schedules import LAG_MS
from sources.replay.market.symbol_market import SymbolMarket
from sources.replay.market.timeline import Timeline
from sources.replay.tape.history_files import read_history
from sources.replay.tape.loops import SymbolLoops, loop_length_ms, timeline_of
from sources.replay.tape.recordings import Line, is_of_market, is_recording, read_lines
from sources.replay.tape.symbol_tape import SymbolTape, tape_of_files, tape_of_lines
from sources.replay.tape.trade_files import TradeFile, is_trade_file, read_trades

log = structlog.get_logger(__name__)


def load_tapes(
    paths: Sequence[Path],
    *,
    kind: MarketKind,
    times: Literal["original", "now"] = "original",
    loop: bool = False,
    history: Path | None = None,
) -> Market:
    """Reads files, or whole folders, into a market that plays them together in the order of exchange time.

    With `loop` it never ends. `history` is a folder of kline files (`history_files.py`). `ValueError` when a file makes
    no sense or nothing can be played; `OSError` when it cannot be opened.
    """
    return playback_of(read_tapes(paths, kind=kind), kind=kind, times=times, loop=loop, history=history)


def playback_of(
    tapes: Sequence[SymbolTape],
    *,
    kind: MarketKind,
    times: Literal["original", "now"] = "original",
    loop: bool = False,
    history: Path | None = None,
    derive: Derive | None = None,
) -> Playback:
    """The market of the tapes of some symbols; `derive` is what another venue than Binance sends."""
    loops = [SymbolLoops(kind, tape, loop=loop) for tape in tapes]
    begin_ms, end_ms = _span(tapes)
    shift_ms = (wall_ms() - begin_ms) // MINUTE_MS * MINUTE_MS if times == "now" else 0
    markets = {
        symbol.tape.symbol: SymbolMarket(symbol.encoder, _history(symbol, kind, history, shift_ms)) for symbol in loops
    }
    log.info("tape_loaded", market=kind, symbols=list(markets), begin_ms=begin_ms, end_ms=end_ms, shift_ms=shift_ms)
    return Playback(
        kind,
        markets,
        _timelines(loops, begin_ms, end_ms, shift_ms, loop=loop),
        begin_ms=begin_ms + shift_ms,
        recorded=frozenset().union(*(symbol.recorded for symbol in loops)),
        derive=derive,
    )


def _timelines(
    loops: Sequence[SymbolLoops], begin_ms: int, end_ms: int, shift_ms: int, *, loop: bool
) -> Iterator[Timeline]:
    length = loop_length_ms(begin_ms, end_ms)
    for loop_number in islice(count(), None if loop else 1):
        yield timeline_of(loops, loop_number, time_ms=shift_ms + loop_number * length, begin_ms=begin_ms, end_ms=end_ms)


def _history(loops: SymbolLoops, kind: MarketKind, folder: Path | None, shift_ms: int) -> History:
    tape = loops.tape
    if folder is None or tape.trades.is_empty():
        return History()
    rows = read_history(folder, kind=kind, symbol=tape.symbol, decimals=tape.decimals, totals=loops.totals)
    return History(lambda: shifted(rows, shift_ms))


def _files(paths: Sequence[Path], kind: MarketKind) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(file for file in path.iterdir() if _is_playable(file) and is_of_market(file, kind))
        elif _is_playable(path):
            files.append(path)
        else:
            raise ValueError(f"{path}: its name is not one of a tape, a recording or a file of trades")
    return files


def _is_playable(path: Path) -> bool:
    return is_recording(path) or is_trade_file(path)


def read_tapes(paths: Sequence[Path], *, kind: MarketKind) -> list[SymbolTape]:
    """The tapes of the symbols of files, or of whole folders. No market that plays them changes them. Errors as those
    of `load_tapes`.
    """
    files = _files(paths, kind)
    lines: dict[str, list[tuple[int, Line]]] = defaultdict(list)
    trades: dict[str, list[TradeFile]] = defaultdict(list)
    place = 0
    for path in files:
        if is_recording(path):
            for line in read_lines(path, kind):
                if not line.stream.startswith("!"):  # streams of all symbols at once are derived, not replayed
                    lines[line.stream.partition("@")[0].upper()].append((place, line))
                    place += 1
        else:
            for file in read_trades(path):
                trades[file.symbol].append(file)
    both = sorted(lines.keys() & trades.keys())
    if both:
        raise ValueError(f"{', '.join(both)}: in recordings and in files of trades; play one of them")
    tapes = [tape_of_lines(kind, symbol, rows) for symbol, rows in lines.items()]
    tapes += [tape_of_files(kind, symbol, rows) for symbol, rows in trades.items()]
    if not tapes:
        raise ValueError(f"nothing to play in {', '.join(map(str, files)) or 'no file'}")
    return tapes


def _span(tapes: Sequence[SymbolTape]) -> tuple[int, int]:
    """When the first message is sent, and when time ends after the last."""
    begins, ends = [], []
    for tape in tapes:
        series = [channel.due for channel in tape.channels.values()]
        series += [tape.trades["due"], tape.aggregates["due"]]
        begins += [int(due[0]) for due in series if due.len()]
        ends += [int(due[-1]) for due in series if due.len()]
        ends += [] if tape.end_ms is None else [tape.end_ms + LAG_MS]
    if not begins:
        raise ValueError("the tapes hold no message")
    return min(begins), max(ends)
