"""Looks at a topic before a flow reads it or publishes to it."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka import KafkaError as LibraryError

from flows.kafka.client import (
    TLS_NAMES,
    KafkaError,
    KafkaSettings,
    check_files,
    client_config,
    reason_of,
    shown,
)

ANSWER_S: Final = 10.0
"""Longest wait for the brokers."""
PART_S: Final = 0.5
_NO_GROUP: Final = "marketflow"
"""The library wants a name of a group; none is joined, and no offset is stored there."""


class NoAnswerError(KafkaError):
    """No broker answers, or not as it should."""


class Span(NamedTuple):
    """The offsets that a partition has: from `begin` up to `end`, which is that of its next message."""

    begin: int
    end: int


def partitions_of(
    settings: KafkaSettings,
    topics: Iterable[str],
    *,
    create: bool = False,
    answer_s: float = ANSWER_S,
    on_error: Callable[[str], None] = lambda _: None,
) -> dict[str, list[int]]:
    """The partitions of topics, which the brokers may `create`, if they do such a thing. `NoAnswerError` when they
    do not answer within `answer_s`, `KafkaError` when one of the topics, or a file of TLS, cannot be used.
    `on_error` gets what ails all connections meanwhile, on another thread.
    """
    check_files(settings)
    causes: list[str] = []

    def note(cause: str) -> None:
        causes.append(cause)
        on_error(cause)

    config = consumer_config(settings) | client_config(settings, on_error=note)
    try:
        client = Consumer(config | {"allow.auto.create.topics": create})
    except KafkaException as error:
        raise KafkaError(_in_our_words(reason_of(error.args[0]))) from error
    found: dict[str, list[int]] = {}
    try:
        for topic in topics:
            meta: Any = _answer_about(client, topic, answer_s)
            if meta.error is not None and meta.error.code() != LibraryError.LEADER_NOT_AVAILABLE:
                raise KafkaError(f"the topic {topic} cannot be used: {_advice(meta.error)}")
            found[topic] = sorted(meta.partitions)
    except KafkaException as error:
        reason = causes[-1] if causes else reason_of(error.args[0])
        where = shown(settings.brokers)
        raise NoAnswerError(f"no broker of kafka.brokers ({where}) answers as it should: {reason}") from error
    finally:
        client.close()
    return found


def _answer_about(client: Consumer, topic: str, answer_s: float) -> Any:
    """What the brokers say of a topic. They are waited for in parts, since the library hands on what ails its
    connections only in between.
    """
    end_s = time.monotonic() + answer_s
    while True:
        try:
            return client.list_topics(topic, timeout=max(0.1, min(PART_S, end_s - time.monotonic()))).topics[topic]
        except KafkaException:
            client.poll(0)
            if time.monotonic() >= end_s:
                raise


def spans_of(settings: KafkaSettings, topic: str, parts: Sequence[int]) -> dict[int, Span]:
    """The offsets of each partition. `KafkaError` when the brokers do not say."""
    consumer = Consumer(consumer_config(settings))
    try:
        return {part: _span(consumer, topic, part) for part in parts}
    except KafkaException as error:
        raise KafkaError(f"the topic {topic} cannot be read: {_advice(error.args[0])}") from error
    finally:
        consumer.close()


def consumer_config(settings: KafkaSettings) -> dict[str, Any]:
    """What every consumer has. Offsets that a topic no longer has are an error, and nothing is left out silently."""
    return {
        **client_config(settings),
        "group.id": _NO_GROUP,
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "allow.auto.create.topics": False,
    }


def _span(consumer: Consumer, topic: str, part: int) -> Span:
    found: Any = consumer.get_watermark_offsets(TopicPartition(topic, part), timeout=ANSWER_S)
    if found is None:
        raise KafkaError(f"the topic {topic} cannot be read: partition {part} has not answered in {ANSWER_S:.0f} s")
    return Span(*found)


def _in_our_words(reason: str) -> str:
    """A reason of the library, with the setting that it is about, if it names one."""
    for name, setting in TLS_NAMES.items():
        if name in reason:
            return f"kafka.{setting} cannot be used: {reason}"
    return reason


def _advice(error: LibraryError) -> str:
    reason = reason_of(error)
    match error.code():
        case LibraryError.UNKNOWN_TOPIC_OR_PART | LibraryError._UNKNOWN_TOPIC:  # noqa: SLF001 - the library's own names
            return f"{reason}. Create it, as with kafka-topics --create, or set kafka.prefix to that of another one"
        case LibraryError.TOPIC_AUTHORIZATION_FAILED:
            return f"{reason}. Permit kafka.user to use it"
    return reason
