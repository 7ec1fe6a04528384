"""A Kafka broker on loopback, or several, in a process of its own: those that librdkafka has for its own tests, with
sockets, partitions with leaders, offsets and sequence numbers of producers; 5 MB a partition, nothing on disk, four
partitions a topic. Several have all that is written at once, so each may lead.

`TEST_KAFKA=host:port` names another one, whose topics are then those of each test's own prefix; what needs
the broker to be away is left out there.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition, cimpl

from flows.settings import Kafka
from tests.fakes.halting import halt

OTHER = os.environ.get("TEST_KAFKA", "")
PARTITIONS = 4

can_be_away = pytest.mark.skipif(bool(OTHER), reason="the broker is another one's")


class Stored(NamedTuple):
    """A message as a topic has it."""

    key: bytes | None
    value: bytes | None
    headers: dict[str, Any]
    partition: int
    offset: int


class Broker:
    """The broker."""

    def __init__(self, address: str, process: "subprocess.Popen[str] | None") -> None:
        self.address = address
        self._process = process

    def pause(self) -> Self:
        """It answers nobody, and its sockets stay open, as of a host that hangs."""
        assert self._process
        halt(self._process)
        return self

    def go_on(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def lead(self, topic: str, number: int) -> None:
        """From now on a broker, from 1 on, leads all partitions of a topic, and the others refuse what is of it."""
        for partition in range(PARTITIONS):
            self._order("lead", topic, partition, number)

    def lose(self, number: int) -> None:
        """A broker closes its connections and takes no more."""
        self._order("down", number)

    def find(self, number: int) -> None:
        """It takes connections again."""
        self._order("up", number)

    def advertise(self, port: int) -> None:
        """Clients are sent to another port of this machine from now on, as behind a proxy."""
        self._order("at", 1, port)

    def _order(self, *words: object) -> None:
        assert self._process
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{' '.join(map(str, words))}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "0\n", words

    def settings(self, **more: Any) -> Kafka:
        return Kafka(**{"brokers": tuple(self.address.split(",")), **more})

    def put(self, topic: str, messages: Iterable[tuple[Any, ...]], *, partition: int = 0) -> None:
        """Puts messages `(key, value, headers)` into a partition."""
        producer = Producer({"bootstrap.servers": self.address, "message.max.bytes": 4_000_000})
        for key, value, headers in messages:
            producer.produce(topic, key=key, value=value, headers=headers, partition=partition)
            producer.poll(0)
        assert producer.flush(60) == 0

    def stored(self, topic: str) -> list[Stored]:
        """All that a topic has, by partition; nothing of one that does not exist."""
        consumer = Consumer({
            "bootstrap.servers": self.address, "group.id": "test", "enable.auto.commit": False,
            "auto.offset.reset": "earliest", "enable.partition.eof": True, "allow.auto.create.topics": False,
        })  # fmt: skip
        try:
            topics: Any = consumer.list_topics(timeout=60).topics
            if topic not in topics:
                return []
            open_parts = set(topics[topic].partitions)
            consumer.assign([TopicPartition(topic, part, 0) for part in open_parts])
            found = []
            while open_parts:
                one: Any = consumer.poll(60)
                assert one is not None, f"{topic}: the partitions {open_parts} have no end"
                if one.error() is None:
                    headers = dict(one.headers() or ())
                    found.append(Stored(one.key(), one.value(), headers, one.partition(), one.offset()))
                else:
                    assert one.error().code() == KafkaError._PARTITION_EOF, one.error()
                    open_parts.discard(one.partition())
            return sorted(found, key=lambda stored: (stored.partition, stored.offset))
        finally:
            consumer.close()


@contextmanager
def running_broker(count: int = 1) -> Iterator[Broker]:
    """A broker for the length of the block, or several that are one cluster."""
    if OTHER:
        yield Broker(OTHER, None)
        return
    with subprocess.Popen(
        [sys.executable, "-m", __name__, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        try:
            yield Broker(process.stdout.readline().strip(), process)
        finally:
            process.kill()


def main() -> None:
    """So many brokers; each line on standard input is an order, and its answer the library's error code, 0 for none."""
    library = ctypes.CDLL(cimpl.__file__)  # which has loaded librdkafka
    for name, result in (
        ("new", ctypes.c_void_p),
        ("mock_cluster_new", ctypes.c_void_p),
        ("mock_cluster_bootstraps", ctypes.c_char_p),
    ):
        getattr(library, f"rd_kafka_{name}").restype = result
    client = ctypes.c_void_p(library.rd_kafka_new(0, None, None, 0))
    cluster = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(client, int(sys.argv[1])))
    say(library.rd_kafka_mock_cluster_bootstraps(cluster).decode())
    for line in sys.stdin:
        match line.split():
            case "lead", topic, partition, number:
                lead = library.rd_kafka_mock_partition_set_leader
                say(lead(cluster, topic.encode(), int(partition), int(number)))
            case "down", number:
                say(library.rd_kafka_mock_broker_set_down(cluster, int(number)))
            case "at", number, port:
                say(library.rd_kafka_mock_broker_set_host_port(cluster, int(number), b"127.0.0.1", int(port)))
            case "up", number:
                say(library.rd_kafka_mock_broker_set_up(cluster, int(number)))


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
