"""Frames as Binance sends them, of every type: the examples of the wire types, always at hand, and recorded ones."""

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import islice

from sources.binance import usdm_wire, wire
from tests.fakes.recordings import DATA

REPLIES = (
    b'{"result":null,"id":1}',
    b'{"result":["btcusdt@aggTrade"],"id":3}',
    b'{"result":true,"id":5}',
    b'{"error":{"code":2,"msg":"Invalid request: unknown variant"},"id":4}',
    b'{"code":2,"msg":"Invalid request: missing field"}',
    b'{"error":{"code":3,"msg":"Invalid JSON: expected value at line 1 column 1"}}',
    b'{"e":"serverShutdown","E":1767225600000}',
    b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1767225600000}}',
)
REST_BODIES = {
    "aggTrades": b'[{"a":26129,"p":"0.01633102","q":"4.70443515","f":27781,"l":27783,"T":1767225600123,"m":true},'
    b'{"a":26130,"p":"0.01633103","q":"1.00000000","f":27784,"l":27784,"T":1767225600124,"m":false,"M":true}]',
    "historicalTrades": b'[{"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.00",'
    b'"time":1767225600123,"isBuyerMaker":true,"isBestMatch":true}]',
    "klines": b'[[1767225600000,"1.0","2.0","0.5","1.5","4.0",1767225659999,"6.0",3,"1.0","2.0","0"],'
    b'[1767225660000,"1.5","2.0","0.5","1.0","4.0",1767225719999,"6.0",3,"1.0","2.0","0"]]',
    "depth": b'{"lastUpdateId":1027024,"bids":[["4.00000000","431.00000000"]],"asks":[["4.00000200","12.00000000"]]}',
    "exchangeInfo": b'{"timezone":"UTC","serverTime":1767225600000,"symbols":[{"symbol":"BTCUSDT","status":"TRADING"},'
    b'{"symbol":"ETHUSDT","status":"BREAK"}]}',
    "time": b'{"serverTime":1767225600000}',
    "error": b'{"code":-1121,"msg":"Invalid symbol."}',
}
"""What REST answers, by the last part of the path."""
_EXAMPLES = {
    "aggTrade": wire.AggTradeMessage,
    "trade": wire.TradeMessage,
    "kline_1m": wire.KlineMessage,
    "ticker": wire.TickerMessage,
    "miniTicker": wire.MiniTickerMessage,
    "bookTicker": wire.SpotBookTickerMessage,
    "depth@100ms": wire.DepthMessage,
    "depth5": wire.PartialDepthMessage,
    "markPrice@1s": usdm_wire.MarkPriceMessage,
    "forceOrder": usdm_wire.ForceOrderMessage,
}
_BEGIN = b'{"stream":'
_BOOK_CHANNELS = ("depth", "bookTicker")
MOST = 100
"""Frames of a type."""


def examples() -> dict[str, list[bytes]]:
    """The examples of the wire types in the envelope, by the channel of their stream."""
    found = {channel: [_enveloped(channel, _payload(kind))] for channel, kind in _EXAMPLES.items()}
    found["bookTicker"].append(_enveloped("bookTicker", _payload(wire.UsdmBookTickerMessage)))
    tickers = [_payload(wire.TickerMessage)] * 3
    found["arr"] = [b'{"stream":"!ticker@arr","data":[%b]}' % b",".join(tickers)]
    return found


def captured(most: int) -> dict[str, list[bytes]]:
    """The examples and recorded frames of each type, so many together, at most `MOST`; without recordings the examples
    alone.
    """
    own = examples()
    return {channel: frames[: max(most, len(own.get(channel, [])))] for channel, frames in _captured().items()}


@cache
def _captured() -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = defaultdict(list, examples())
    for frame in _recorded():
        stream = frame[len(_BEGIN) :].partition(b'"')[2].partition(b'"')[0].decode()
        channel = stream.rpartition("!")[2].partition("@")[2] or "arr"
        if len(found[channel]) < MOST:
            found[channel].append(frame)
    return dict(found)


def line_of(channel: str) -> str:
    """The line by which a spot source would have received a channel."""
    return "public" if channel.startswith(_BOOK_CHANNELS) else "market"


def recorded_answers() -> list[bytes]:
    """Recorded bodies of REST; none where the recordings are missing."""
    path = DATA / "messages" / "usdm_aggtrades_clusdt_rest.json"
    if not path.exists():
        return []
    return [json.dumps(json.loads(path.read_bytes())[:50]).encode()]


def _payload(kind: type) -> bytes:
    doc = kind.__doc__ or ""
    return "".join(line.strip() for line in doc[doc.index("{") :].splitlines()).encode()


def _enveloped(channel: str, payload: bytes) -> bytes:
    return b'{"stream":"btcusdt@%b","data":%b}' % (channel.encode(), payload)


def _recorded() -> Iterator[bytes]:
    for name in ("binance-spot-2024-08-08", "binance-usdm-2024-08-08"):
        for path in sorted((DATA / name).glob("btcusdt_*.gz")):
            with gzip.open(path) as lines:
                yield from _frames(islice(lines, 20_000))
    for name in ("captures/BINANCE.ws.1.0", "captures/BINANCE_FUTURES.ws.1.0"):
        path = DATA / name
        if path.exists():
            with path.open("rb") as lines:
                yield from _frames(lines)
    messages = DATA / "messages" / "binance_24hrTicker_kline.jsonl"
    if messages.exists():
        yield from _frames(messages.read_bytes().splitlines())


def _frames(lines: Iterator[bytes] | list[bytes]) -> Iterator[bytes]:
    for line in lines:
        begin = line.find(_BEGIN)
        if begin >= 0:
            yield line[begin:].rstrip()
