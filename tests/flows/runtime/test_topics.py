"""What the start of a flow does about topics that it publishes to."""

import threading
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from flows.runtime.topics import check_topics
from flows.settings import Kafka, Settings, SettingsError
from tests.fakes.kafka import Broker, running_broker


def settings(*brokers: str, **more: object) -> Settings:
    return Settings(kafka=Kafka(brokers=brokers, **more))  # type: ignore[arg-type]


def broker_topics(broker: Broker) -> set[str]:
    return {*AdminClient({"bootstrap.servers": broker.address}).list_topics(timeout=60).topics}


def test_brokers_that_are_away_are_looked_for_while_the_flow_begins() -> None:
    check_topics(settings("127.0.0.1:1"))
    assert "kafka-topics" in {thread.name for thread in threading.enumerate()}, "they have more time to answer"


def test_topics_are_made_before_the_flow_begins_where_brokers_do_that() -> None:
    with running_broker() as broker:
        check_topics(Settings(kafka=broker.settings()))
        assert "marketflow.trades" in broker_topics(broker)


def test_a_file_of_tls_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^kafka\.publish: kafka\.tls_ca: .*absent\.pem cannot be read: No such"):
        check_topics(settings("127.0.0.1:1", tls=True, tls_ca=tmp_path / "absent.pem"))


def test_a_file_of_tls_that_is_none_is_named(tmp_path: Path) -> None:
    file = tmp_path / "wrong.pem"
    file.write_text("no certificate")
    with pytest.raises(SettingsError, match=r"^kafka\.publish: kafka\.tls_ca cannot be used: .*no certificate"):
        check_topics(settings("127.0.0.1:1", tls=True, tls_ca=file))
