"""Publishes messages by the engine's connector (`bytewax.connectors.kafka`), on the thread of a writer.

The connector waits without a bound until everything is delivered, and says nothing of what is not. So it never runs on
the flow's own thread, the library gives up a message after `ANSWER_MS`, and its reports of delivery say which.
"""

from collections.abc import Sequence
from typing import Any, Final

from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage
from confluent_kafka import KafkaError as LibraryError
from confluent_kafka import Message

from flows.kafka.client import KafkaSettings, producer_config, reason_of, topic_of
from sinks.bus.entry import Kept
from sinks.bus.stored import Refused
from sinks.bus.subjects import channel_of, symbol_of, venue_of
from sinks.kafka.messages import KINDS, VERSION, key_of

ANSWER_MS: Final = 5_000
"""How long a message is tried before it counts as failed; it may be there all the same."""
MOST_BYTES: Final = 1_000_000
"""Longest message that the library sends, and that brokers take if they are not set up otherwise."""

_NEVER: Final = frozenset((LibraryError.MSG_SIZE_TOO_LARGE, LibraryError.INVALID_RECORD, LibraryError.INVALID_MSG))
"""Errors of messages that no broker will ever take."""


class Producer:
    """Owned by one thread. It is opened anew after a failure, since one that has failed for good stays so."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._brokers: str = ""
        """What the library last said of all brokers together."""
        self._results: dict[bytes, LibraryError | None] = {}
        """By the bytes of each message of this turn."""
        self._partition: Any = None

    def publish(self, messages: Sequence[Kept]) -> list[str | Refused | None]:
        """Publishes messages that differ, and waits for the answers: for each None, why it is not known to be
        there, or why it never will be.
        """
        self._brokers = ""
        self._results = {}
        fitting = [kept for kept in messages if kept.most_bytes <= MOST_BYTES]
        try:
            self._open().write_batch([self._message_of(kept) for kept in fitting])
        except Exception:
            self.close()
            raise
        outcomes = [self._outcome_of(kept) for kept in messages]
        if any(isinstance(one, str) for one in outcomes):
            self.close()
        return outcomes

    def close(self) -> None:
        """Ends the connections, after at most `ANSWER_MS`."""
        partition, self._partition = self._partition, None
        if partition is not None:
            partition.close()

    def _open(self) -> Any:
        if self._partition is None:
            config = producer_config(self._settings, on_error=self._note_error)
            config |= {"message.timeout.ms": ANSWER_MS, "socket.timeout.ms": ANSWER_MS, "on_delivery": self._note}
            sink = KafkaSink(self._settings.brokers, None, config)
            self._partition = sink.build("kafka", 0, 1)
        return self._partition

    def _message_of(self, kept: Kept) -> KafkaSinkMessage[bytes | None, bytes]:
        channel = channel_of(kept.subject)
        return KafkaSinkMessage(
            key=key_of(venue_of(kept.subject), symbol_of(kept.subject)),
            value=kept.body,
            topic=topic_of(self._settings.prefix, KINDS[channel]),
            headers=[("type", channel.encode()), ("version", VERSION), ("id", kept.message_id.encode())],
        )

    def _note_error(self, reason: str) -> None:
        self._brokers = reason

    def _note(self, error: LibraryError | None, message: Message) -> None:
        self._results[message.value() or b""] = error  # reports have no headers

    def _outcome_of(self, kept: Kept) -> str | Refused | None:
        if kept.most_bytes > MOST_BYTES:
            return Refused(f"it has {len(kept.body)} bytes, and messages have at most {MOST_BYTES}")
        if kept.body not in self._results:
            return "it has no answer"
        error = self._results[kept.body]
        if error is None:
            return None
        if error.code() in _NEVER:
            return Refused(reason_of(error))
        topic = topic_of(self._settings.prefix, KINDS[channel_of(kept.subject)])
        return f"{topic}: {self._brokers or reason_of(error)}{_hint_of(error)}"


def _hint_of(error: LibraryError) -> str:
    match error.code():
        case LibraryError.UNKNOWN_TOPIC_OR_PART | LibraryError._UNKNOWN_TOPIC:  # noqa: SLF001 - the library's own names
            return ": create it, or let the brokers create topics"
        case LibraryError.TOPIC_AUTHORIZATION_FAILED | LibraryError.CLUSTER_AUTHORIZATION_FAILED:
            return ": permit kafka.user to write to it"
    return ""
