"""Brokers that want a name and a password: who has them publishes and reads, and who has not is told why."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sources.kafka.topic import NoAnswerError, partitions_of
from tests.fakes.kafka import PARTITIONS, Broker, can_be_away, running_broker
from tests.fakes.kafka_door import Door, door
from tests.sinks.kafka.test_writer import batch, items, open_writer, trade_ids

pytestmark = can_be_away
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
PATIENCE_S = 60.0


@contextmanager
def locked(broker: Broker, mechanism: str) -> Iterator[tuple[Door, Broker]]:
    """The broker behind a door, and as clients find it."""
    with door(broker.address, mechanism, "flow", "of the flow") as one:
        broker.advertise(one.port)
        try:
            yield one, Broker(one.address, None)
        finally:
            broker.advertise(int(broker.address.rpartition(":")[2]))


def words(mechanism: str, password: str = "of the flow") -> dict[str, Any]:
    return {"user": "flow", "password": password, "mechanism": mechanism}


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with running_broker() as one:
        yield one


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_who_has_the_words_publishes_and_reads(broker: Broker, mechanism: str) -> None:
    with locked(broker, mechanism) as (lock, behind):
        writer = open_writer(behind, mechanism, kafka=words(mechanism))
        writer.write(items(batch(1, 3)))
        writer.close()
        settings = behind.settings(prefix=mechanism, **words(mechanism))
        assert partitions_of(settings, [f"{mechanism}.trades"], answer_s=PATIENCE_S) == {
            f"{mechanism}.trades": [*range(PARTITIONS)]
        }
        assert lock.taken
    assert trade_ids(broker, mechanism) == [1, 2, 3]


@pytest.mark.parametrize("mechanism", MECHANISMS[:2])
def test_who_has_not_is_told_so(broker: Broker, mechanism: str) -> None:
    with locked(broker, mechanism) as (lock, behind):
        settings = behind.settings(**words(mechanism, "another one"))
        with pytest.raises(NoAnswerError, match="Authentication failed") as caught:
            partitions_of(settings, ["absent"], answer_s=PATIENCE_S)
        assert "another one" not in str(caught.value)
        assert (lock.taken, lock.refused > 0) == (0, True)


def test_a_publisher_with_wrong_words_waits_and_says_why(broker: Broker) -> None:
    with locked(broker, "SCRAM-SHA-512") as (_, behind):
        wrong = open_writer(behind, "wrong", kafka=words("SCRAM-SHA-512", "another one"), first_retry_s=0.05)
        wrong.write(items(batch(1, 3)))
        while "Authentication failed" not in wrong.outage:
            pass
        assert wrong.waiting == 3
        left = wrong.pending()
        wrong.close()
        right = open_writer(behind, "wrong", kafka=words("SCRAM-SHA-512"))
        right.resume(left)
        right.close()
    assert trade_ids(broker, "wrong") == [1, 2, 3]
