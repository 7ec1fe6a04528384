"""Clients that go from interface to interface, all in one process: each must see every trade and closed candle once,
and in order. What many of them get is the same, byte for byte, and is decoded once.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw, Struct

from sources.connection.picows_transport import open_socket
from sources.connection.transport import TransportError
from tests.hosts.companion import Line

OPEN_S: Final = 3.0
PING_S: Final = 5.0
AGAIN_S: Final = 0.2
MOST_WRONG: Final = 20
"""What is said of one client at most."""
_GENERATION: Final = 4_096
"""Messages of which the meaning is kept; twice as many at most."""

Key = tuple[str, str, int]
"""Symbol, timeframe and begin of a candle."""


class _Candle(Struct):
    timestamp: int
    is_closed: bool
    revision: int


class _Trade(Struct):
    id: int


class _Data(Struct):
    symbol: str
    timeframe: str = ""
    trades: list[_Trade] = []
    candle: _Candle | None = None


class _Message(Struct):
    type: str
    data: Raw = Raw()
    seq: int = 0


_MESSAGE: Final = msgspec.json.Decoder(_Message)
_DATA: Final = msgspec.json.Decoder(_Data)


class News(NamedTuple):
    """What matters of a message."""

    kind: str
    seq: int
    symbol: str = ""
    first: int = 0
    """First and last id of its trades."""
    last: int = 0
    has_hole: bool = False
    """Whether ids are missing between them, or stand twice."""
    closed: Key | None = None
    """The candle that it closes for the first time."""


def news_of(body: bytes) -> News:
    """What a message of an interface, or of the stream, says."""
    message = _MESSAGE.decode(body)
    if message.type not in ("Trade", "ChartUpdate"):
        return News(message.type, message.seq)
    data = _DATA.decode(message.data)
    if candle := data.candle:
        closes = candle.is_closed and not candle.revision
        key = (data.symbol, data.timeframe, candle.timestamp) if closes else None
        return News(message.type, message.seq, data.symbol, closed=key)
    ids = [one.id for one in data.trades]
    has_hole = ids != [*range(ids[0], ids[0] + len(ids))]
    return News(message.type, message.seq, data.symbol, ids[0], ids[-1], has_hole)


class Meaning:
    """`news_of`, which looks at each message once: the newest messages are kept, at most twice `_GENERATION`."""

    def __init__(self) -> None:
        self._young: dict[bytes, News] = {}
        self._old: dict[bytes, News] = {}

    def of(self, body: bytes) -> News:
        """What it says."""
        if found := self._young.get(body):
            return found
        if len(self._young) >= _GENERATION:
            self._young, self._old = {}, self._young
        found = self._young[body] = self._old.get(body) or news_of(body)
        return found


class Member:
    """What one client has seen. Pure."""

    def __init__(self) -> None:
        self.first_seq = 0
        self.seq = 0
        self.newest: dict[str, int] = {}
        self.closed: dict[Key, int] = {}
        """The candles that it saw closed, with the number of the message."""
        self.wrong: list[str] = []
        self.connections = 0

    def take(self, news: News) -> None:
        """One message."""
        kind, seq = news.kind, news.seq
        if kind not in ("Trade", "ChartUpdate"):
            if kind in ("Reset", "Lagged") and self.seq:
                self.is_wrong(f"{kind} at {self.seq}")
            return
        if seq <= self.seq:
            self.is_wrong(f"{seq} after {self.seq}")
        self.seq = seq
        if not self.first_seq:
            self.first_seq = seq
        if kind == "ChartUpdate":
            if key := news.closed:
                if key in self.closed:
                    self.is_wrong(f"candle {key} twice, in {self.closed[key]} and {seq}")
                self.closed[key] = seq
            return
        symbol = news.symbol
        last = self.newest.get(symbol)
        if (last is not None and news.first != last + 1) or news.has_hole:
            hole = " with a hole" if news.has_hole else ""
            self.is_wrong(f"{symbol}: {news.first} to {news.last}{hole} after {last} in {seq}")
        self.newest[symbol] = news.last

    def is_wrong(self, text: str) -> None:
        """Keeps what is wrong, as far as it helps."""
        if len(self.wrong) < MOST_WRONG:
            self.wrong.append(text)

    def candles_differ(self, closed: Mapping[Key, int], until_seq: int) -> list[str]:
        """What it has not seen as the stream has it, of the candles that were closed up to a number."""
        theirs = {(key, seq) for key, seq in closed.items() if self.first_seq <= seq <= until_seq}
        ours = {(key, seq) for key, seq in self.closed.items() if seq <= until_seq}
        return [
            f"candle {key} {word} in {seq}"
            for some, word in ((theirs - ours, "not seen"), (ours - theirs, "not of the stream"))
            for key, seq in sorted(some)
        ][:MOST_WRONG]


class Report(Struct):
    """What all clients together say."""

    clients: int
    connected: int
    """How many were connected once at least."""
    newest: dict[str, int]
    """The newest trade of each symbol that every client has; 0 while one has none."""
    least_seq: int
    wrong: list[str]


def report_of(members: Sequence[Member]) -> Report:
    """Sums them up."""
    symbols = {symbol for one in members for symbol in one.newest}
    wrong = [f"client {number}: {text}" for number, one in enumerate(members) for text in one.wrong]
    return Report(
        len(members), sum(bool(one.connections) for one in members),
        {symbol: min(one.newest.get(symbol, 0) for one in members) for symbol in symbols},
        min((one.seq for one in members), default=0), wrong,
    )  # fmt: skip


async def _run(member: Member, meaning: Meaning, urls: Sequence[str], token: str, chance: random.Random) -> None:
    """Reads until it is cancelled."""

    def receive(body: bytes) -> None:
        member.take(meaning.of(body))

    while True:
        after = f"&resume_after={member.seq}" if member.seq else ""
        url = f"{chance.choice(urls).replace('http', 'ws', 1)}/ws?channels=Trade,ChartUpdate&token={token}{after}"
        try:
            socket = await open_socket(url, receive, timeout_s=OPEN_S, ping_s=PING_S)
            member.connections += 1
            await socket.wait_ended()
        except TransportError:
            pass
        except Exception as error:  # noqa: BLE001 - of a message that cannot be read
            member.is_wrong(f"{type(error).__name__}: {error}")
        await asyncio.sleep(AGAIN_S)


def serve(line: Line, urls: Sequence[str], token: str, count: int) -> None:
    """The process: clients that connect when they are let, and what they say of what they have seen."""
    asyncio.run(_serve(line, urls, token, count))


async def _serve(line: Line, urls: Sequence[str], token: str, count: int) -> None:
    members, meaning = [Member() for _ in range(count)], Meaning()
    calls: asyncio.Queue[tuple[object, ...]] = asyncio.Queue()
    asyncio.get_running_loop().add_reader(line.fileno(), lambda: calls.put_nowait(line.recv()))
    line.send(None)
    async with asyncio.TaskGroup() as group:
        while True:
            match await calls.get():
                case ("start",):
                    for number, one in enumerate(members):
                        group.create_task(_run(one, meaning, urls, token, random.Random(number)))
                    line.send(None)
                case ("report",):
                    line.send(report_of(members))
                case ("candles", dict(closed), int(until_seq)):
                    line.send([
                        f"client {number}: {text}"
                        for number, one in enumerate(members)
                        for text in one.candles_differ(closed, until_seq)
                    ])  # fmt: skip
