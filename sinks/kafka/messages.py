"""What is published to Kafka, and in which form: docs/kafka.md describes it for consumers.

The value of a message is that of the bus (`sinks.bus.envelope`): what the hub says, as JSON, without a number. Headers
name its type, the version of the form, and an id that a repetition has too.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from flows.kafka import frames
from flows.model import PRIVATE_KINDS, Candle, Incident, Publishable, TradeBatch, VenueItems
from sinks.bus.entry import Entry
from sinks.hub.market.venue_market import TRADES_A_MESSAGE
from sinks.hub.messages import Message, Topic

VERSION: Final = b"1"
KINDS: Final = {"Trade": "trades", "Candle": "candles", "Incident": "incidents"}
"""By channel of the hub, the end of the topic's name."""


def key_of(venue: str, symbol: str) -> bytes | None:
    """The key of a message: the instrument, or the venue where it is about no single one."""
    return frames.key_of(venue, symbol) or None


def entries_of(
    batch: Sequence[Publishable], kinds: Sequence[str], flow: str, stamp_ms: Callable[[], int]
) -> Iterator[Entry]:
    """What of a batch is published, in its order. `kinds` are the wanted topics; `stamp_ms` gives the feed's time."""
    venue = batch.venue if isinstance(batch, VenueItems) else ""
    for item in batch:
        for channel, one in _messages_of(item):
            if KINDS[channel] in kinds:
                timeframe = one.timeframe if isinstance(one, Candle) else ""
                topic = Topic(channel, one.symbol, timeframe, one.venue or venue)
                yield Entry.of(Message(topic, one, seq=0, stamp_ms=stamp_ms()), flow)


def _messages_of(item: Publishable) -> Iterator[tuple[str, TradeBatch | Candle | Incident]]:
    match item:
        case TradeBatch():
            for begin in range(0, len(item.trades), TRADES_A_MESSAGE):
                part = item.trades[begin : begin + TRADES_A_MESSAGE]
                yield "Trade", TradeBatch(item.venue, item.symbol, part, late=item.late, replaced=item.replaced)
        case Candle() if item.is_closed:
            yield "Candle", item
        case Incident() if item.kind not in PRIVATE_KINDS:
            yield "Incident", item
