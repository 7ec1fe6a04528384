"""What waits to be published: a message, and from when it may be sent the bytes of it."""

from typing import Final

from msgspec import Struct

from flows.model import TradeBatch
from sinks.bus.envelope import encoded, is_lasting, message_id, subject_of_message
from sinks.bus.subjects import venue_of
from sinks.hub.market.venue_market import TRADES_A_MESSAGE
from sinks.hub.messages import Message

_HEADERS: Final = 64


class Kept(Struct, frozen=True, array_like=True):
    """A message as it is published, and as it stands in the recovered state until it is."""

    subject: str
    message_id: str
    body: bytes
    trades: int = 0
    """Number of trades, 0 for any other message."""
    corrects: bool = False
    """It has other values of trades that were published before."""

    @property
    def most_bytes(self) -> int:
        """What counts against the bound of the servers, rounded up: the body, and headers with the id."""
        return len(self.body) + len(self.message_id) + _HEADERS


class Entry(Struct, eq=False):
    """One message on its way: as the hub has it, and once it is `fixed` as bytes that do not change any more."""

    subject: str
    venue: str
    flow: str
    lasting: bool
    message: Message | None
    kept: Kept | None = None
    """Once it is there, the message counts no more."""

    @classmethod
    def of(cls, message: Message, flow: str) -> "Entry":
        """Of a message of the hub."""
        subject = subject_of_message(message, flow)
        return cls(subject, message.topic.venue, flow, is_lasting(message), message)

    @classmethod
    def again(cls, kept: Kept, flow: str) -> "Entry":
        """Of what an earlier process has left."""
        return cls(kept.subject, venue_of(kept.subject), flow, lasting=True, message=None, kept=kept)

    @property
    def size(self) -> int:
        """Number of trades, 1 for any other message."""
        batch = self.batch()
        return len(batch.trades) if batch else (self.kept.trades if self.kept else 0) or 1

    def fixed(self) -> Kept:
        """As it is published, from now on. Two threads may do this at once: they come to the same."""
        kept, message = self.kept, self.message
        if kept is None:
            assert message is not None  # noqa: S101 - one of both is there
            batch = message.item if isinstance(message.item, TradeBatch) else None
            kept = self.kept = Kept(
                self.subject,
                message_id(message, self.subject) if self.lasting else "",
                encoded(message, self.flow),
                len(batch.trades) if batch else 0,
                corrects=bool(batch and batch.replaced),
            )
        return kept

    def absorb(self, later: "Entry") -> bool:
        """Takes the trades of a later message of the same subject, if both fit into one; False: they do not."""
        own, more = self.batch(), later.batch()
        if own is None or more is None or own.late != more.late or own.replaced or more.replaced:
            return False
        if len(own.trades) + len(more.trades) > TRADES_A_MESSAGE:
            return False
        assert later.message is not None  # noqa: S101 - it has trades
        joined = TradeBatch(own.venue, own.symbol, [*own.trades, *more.trades], late=own.late)
        self.message = Message(later.message.topic, joined, seq=0, stamp_ms=later.message.stamp_ms)
        return True

    def batch(self) -> TradeBatch | None:
        """Its trades, while it is not fixed."""
        item = self.message.item if self.message and self.kept is None else None
        return item if isinstance(item, TradeBatch) else None
