"""Loads tapes into a market.

Times. `original` leaves them unchanged. `now` moves them all by one constant, a whole number of minutes, such that the
tape begins within the minute before it is loaded, or before `Playback.move_to`: its one-minute klines stay the same,
longer ones get other boundaries (history before the tape is moved by whole periods of its own, see `history.shifted`).
A tape of less than `_SHORT_MS` that is not looped is moved to now itself, as a minute of it would be missed.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Literal

import structlog

from flows.clock import wall_ms
from sources.replay.market.history import History, shifted
from sources.replay.market.intervals import MINUTE_MS
from sources.replay.market.market import Market, MarketKind
from sources.replay.market.playback import Playback
from sources.replay.market.streams.derived import Derive
from sources.replay.market.streams.schedules import LAG_MS
from sources.replay.market.symbol_market import SymbolMarket
from sources.replay.market.timeline import Timeline
from sources.replay.tape.history_files import read_history
from sources.replay.tape.loops import SymbolLoops, loop_length_ms, timeline_of
from sources.replay.tape.recordings import Line, is_of_market, is_recording, read_lines
from sources.replay.tape.symbol_tape import SymbolTape, tape_of_files, tape_of_lines
from sources.replay.tape.trade_files import TradeFile, is_trade_file, read_trades
from sources.replay.tape.whole_lines import check_exists

_SHORT_MS = 4 * MINUTE_MS
_LEAD_MS = 2_000
"""How much of a tape has been played at least at the first answer."""

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
    move = _Move(begin_ms, end_ms, loop=loop)
    if times == "now":
        move.ms = (wall_ms() - begin_ms) // MINUTE_MS * MINUTE_MS
    markets = {
        symbol.tape.symbol: SymbolMarket(symbol.encoder, _history(symbol, kind, history, move)) for symbol in loops
    }
    log.info("tape_loaded", market=kind, symbols=list(markets), begin_ms=begin_ms, end_ms=end_ms, shift_ms=move.ms)
    return Playback(
        kind,
        markets,
        _timelines(loops, move),
        begin_ms=begin_ms + move.ms,
        recorded=frozenset().union(*(symbol.recorded for symbol in loops)),
        derive=derive,
        move=move.to if times == "now" else None,
    )


class _Move:
    """How far the times of a tape are moved; nothing may have been read of the market before it changes."""

    def __init__(self, begin_ms: int, end_ms: int, *, loop: bool) -> None:
        self.begin_ms, self.end_ms = begin_ms, end_ms
        self.loop = loop
        self.ms = 0

    def to(self, now_ms: int) -> int:
        """Moves the begin to shortly before a time, by whole minutes where the tape is long enough; the new begin."""
        length_ms = self.end_ms - self.begin_ms
        lead_ms = min(_LEAD_MS, length_ms // 4)
        self.ms = now_ms - lead_ms - self.begin_ms
        if self.loop or length_ms >= _SHORT_MS:
            self.ms -= self.ms % MINUTE_MS
        return self.begin_ms + self.ms


def _timelines(loops: Sequence[SymbolLoops], move: _Move) -> Iterator[Timeline]:
    length = loop_length_ms(move.begin_ms, move.end_ms)
    for loop_number in islice(count(), None if move.loop else 1):
        time_ms = move.ms + loop_number * length
        yield timeline_of(loops, loop_number, time_ms=time_ms, begin_ms=move.begin_ms, end_ms=move.end_ms)


def _history(loops: SymbolLoops, kind: MarketKind, folder: Path | None, move: _Move) -> History:
    tape = loops.tape
    if folder is None or tape.trades.is_empty():
        return History()
    rows = read_history(folder, kind=kind, symbol=tape.symbol, decimals=tape.decimals, totals=loops.totals)
    return History(lambda: shifted(rows, move.ms))


def _files(paths: Sequence[Path], kind: MarketKind) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        check_exists(path)
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
