"""Trades that other hosts have stored: read from the interfaces there, minute by minute, as from a partition of the own
store. What they have themselves is all that those answer, so a query makes one hop and never goes round.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from heapq import merge
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog
from msgspec import Struct

from flows.modules.late import late_module
from sinks.trades.codec import END_MS, TradeColumns
from sinks.trades.database import TradeStoreError

if TYPE_CHECKING:
    import httpx
else:
    httpx = late_module("httpx")

STORED: Final = "/api/trades/stored"
SPAN: Final = f"{STORED}/span"
RECORDS: Final = f"{STORED}/records"
MEDIA: Final = "application/vnd.marketflow.trades"
EVERY_S: Final = 2.0
"""Time between two queries of what other hosts have."""
ANSWER_S: Final = 5.0
"""Longest wait for a host, and for the next part of its answer."""
MOST_RECORD: Final = 64 << 20
"""Longest record of an answer, in bytes."""
_LENGTH: Final = struct.Struct(">I")
_log = structlog.get_logger(__name__)


class Record(Struct, frozen=True, array_like=True):
    """A record on its way: its start, ms UTC, and its columns."""

    start: int
    columns: TradeColumns


class StoredSymbols(Struct, frozen=True):
    """The symbols of which a host has trades, by venue."""

    symbols: dict[str, list[str]]


class StoredSpan(Struct, frozen=True):
    """Starts of the first and the last record of a span; null without any."""

    first: int | None
    last: int | None


class _Answer(Struct, frozen=True):
    data: msgspec.Raw


def encode_record(start: int, columns: TradeColumns) -> bytes:
    """A record with its length in front."""
    body = msgspec.msgpack.encode(Record(start, columns))
    return _LENGTH.pack(len(body)) + body


def decode_records(chunks: Iterable[bytes]) -> Iterator[Record]:
    """The records of an answer. `ValueError` when it ends within one, or is none."""
    decoder, rest = msgspec.msgpack.Decoder(Record), bytearray()
    for chunk in chunks:
        rest += chunk
        while len(rest) >= _LENGTH.size:
            [length] = _LENGTH.unpack_from(rest)
            if length > MOST_RECORD:
                raise ValueError(f"a record of {length} bytes is longer than {MOST_RECORD}")
            end = _LENGTH.size + length
            if len(rest) < end:
                break
            yield decoder.decode(bytes(rest[_LENGTH.size : end]))
            del rest[:end]
    if rest:
        raise ValueError("the answer ends within a record")


class PeerTrades:
    """What other hosts have stored, of all venues. `follow` belongs to the event loop, everything else to the thread
    that reads trades.
    """

    def __init__(self, urls: Callable[[], Collection[str]], *, token: str | None) -> None:
        """`urls` are those of the interfaces there."""
        self._urls = urls
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(timeout=ANSWER_S, headers=self._headers, trust_env=False)
        self._symbols: dict[str, dict[str, frozenset[str]]] = {}
        """By address and venue the symbols that are stored there, as far as was known last."""
        self.away: dict[str, str] = {}
        """Why hosts do not answer, by address."""

    async def follow(self) -> None:
        """Learns what others have, until cancelled."""
        async with httpx.AsyncClient(timeout=ANSWER_S, headers=self._headers, trust_env=False) as client:
            while True:
                await self.look(client)
                await asyncio.sleep(EVERY_S)

    async def look(self, client: httpx.AsyncClient) -> None:
        """Learns what others have."""
        urls = tuple(self._urls())
        for url in self._symbols.keys() - set(urls):  # it is gone: what it had cannot be had
            del self._symbols[url]
            self.away.pop(url, None)
        await asyncio.gather(*(self._learn(client, url) for url in urls))

    async def _learn(self, client: httpx.AsyncClient, url: str) -> None:
        try:
            found = _decoded(await client.get(f"{url}{STORED}"), StoredSymbols)
        except (httpx.HTTPError, ValueError) as error:
            if url not in self.away:
                _log.warning("host_does_not_answer", url=url, reason=str(error) or type(error).__name__)
            self.away[url] = str(error) or type(error).__name__
            return
        if self.away.pop(url, None):
            _log.info("host_answers", url=url)
        self._symbols[url] = {venue: frozenset(symbols) for venue, symbols in found.symbols.items()}

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def of_venue(self, venue: str) -> VenuePeers:
        """Those of one venue."""
        return VenuePeers(self, venue)

    def symbols(self, venue: str) -> list[str]:
        """The symbols of which others have trades."""
        return sorted({symbol for found in list(self._symbols.values()) for symbol in found.get(venue, ())})

    def hosts_of(self, venue: str, symbol: str) -> list[str]:
        """The addresses of those that have trades of a symbol."""
        return sorted(url for url, found in list(self._symbols.items()) if symbol in found.get(venue, ()))

    def span(self, url: str, **query: Any) -> StoredSpan:
        """First and last record of a span. `TradeStoreError` when the host does not answer."""
        try:
            found: StoredSpan = _decoded(self._client.get(f"{url}{SPAN}", params=query), StoredSpan)
        except (httpx.HTTPError, ValueError) as error:
            raise _away(url, error) from error
        return found

    def records(self, url: str, **query: Any) -> Iterator[tuple[int, TradeColumns]]:
        """The records of a span, as they come. `TradeStoreError` when the host does not answer to its end."""
        try:
            with self._client.stream("GET", f"{url}{RECORDS}", params=query) as response:
                response.raise_for_status()
                for record in decode_records(response.iter_bytes()):
                    yield record.start, record.columns
        except (httpx.HTTPError, ValueError) as error:
            raise _away(url, error) from error


def _decoded(response: httpx.Response, kind: type[Any]) -> Any:
    response.raise_for_status()
    return msgspec.json.decode(msgspec.json.decode(response.content, type=_Answer).data, type=kind)


def _away(url: str, error: Exception) -> TradeStoreError:
    return TradeStoreError(f"the trades at {url} cannot be read: {str(error) or type(error).__name__}")


class VenuePeers:
    """The trades of a venue that others have; `OlderTrades` of a reader."""

    def __init__(self, peers: PeerTrades, venue: str) -> None:
        self._peers = peers
        self._venue = venue

    def symbols(self) -> list[str]:
        """The symbols of which others have trades."""
        return self._peers.symbols(self._venue)

    def has(self, symbol: str, begin_ms: int, end_ms: int) -> bool:  # noqa: ARG002 - only they know
        """Whether others have trades of a symbol."""
        return bool(self._peers.hosts_of(self._venue, symbol))

    def records(self, symbol: str, begin_ms: int, end_ms: int) -> Iterator[tuple[int, TradeColumns]]:
        """Start and columns of the records that start in `[begin_ms, end_ms)`, oldest first."""
        query = self._query(symbol, begin_ms, end_ms)
        hosts = self._peers.hosts_of(self._venue, symbol)
        return merge(*(self._peers.records(url, **query) for url in hosts), key=itemgetter(0))

    def starts(self, symbol: str, begin_ms: int, end_ms: int) -> Iterator[int]:
        """The first of these starts."""
        firsts = [span.first for span in self._spans(symbol, begin_ms, end_ms) if span.first is not None]
        yield from [min(firsts)] if firsts else []

    def newest_of(self, symbol: str, *, until_ms: int) -> int | None:
        """Start of the last record that begins at a time or before; None without any."""
        return max((span.last for span in self._spans(symbol, 0, until_ms + 1) if span.last is not None), default=None)

    def _query(self, symbol: str, begin_ms: int, end_ms: int) -> dict[str, Any]:
        """The parameters of a span, within the times that there are."""
        return {"venue": self._venue, "symbol": symbol, "start": max(0, begin_ms), "end": min(end_ms, END_MS)}

    def _spans(self, symbol: str, begin_ms: int, end_ms: int) -> list[StoredSpan]:
        query = self._query(symbol, begin_ms, end_ms)
        return [self._peers.span(url, **query) for url in self._peers.hosts_of(self._venue, symbol)]


class Several:
    """Several sources of trades beside a store; `OlderTrades` of a reader."""

    def __init__(self, sources: Sequence[Any]) -> None:
        self._sources = sources

    def symbols(self) -> list[str]:
        """The symbols that any of them has."""
        return sorted({symbol for one in self._sources for symbol in one.symbols()})

    def has(self, symbol: str, begin_ms: int, end_ms: int) -> bool:
        """Whether any of them may have trades of a span."""
        return any(one.has(symbol, begin_ms, end_ms) for one in self._sources)

    def records(self, symbol: str, begin_ms: int, end_ms: int) -> Iterator[tuple[int, TradeColumns]]:
        """Their records, in the order of their starts."""
        having = [one for one in self._sources if one.has(symbol, begin_ms, end_ms)]
        return merge(*(one.records(symbol, begin_ms, end_ms) for one in having), key=itemgetter(0))

    def starts(self, symbol: str, begin_ms: int, end_ms: int) -> Iterator[int]:
        """Their starts in order."""
        return merge(*(one.starts(symbol, begin_ms, end_ms) for one in self._sources))

    def newest_of(self, symbol: str, *, until_ms: int) -> int | None:
        """The last start of any of them."""
        found = (one.newest_of(symbol, until_ms=until_ms) for one in self._sources)
        return max((one for one in found if one is not None), default=None)
