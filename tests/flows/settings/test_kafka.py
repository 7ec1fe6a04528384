import re
from typing import Any

import pytest

from flows.kafka.client import KafkaError, check_files, client_config, shown
from flows.settings import Kafka, SettingsError, load_settings

BROKERS: dict[str, Any] = {"brokers": ("k1:9092",)}


def test_without_an_address_there_is_no_kafka() -> None:
    kafka = Kafka()
    assert (kafka.publishes, kafka.publishes_frames, kafka.is_read) == (False, False, False)


def test_what_is_published_and_read_is_chosen() -> None:
    def chosen(**more: Any) -> tuple[bool, bool, bool]:
        kafka = Kafka(**{**BROKERS, **more})
        return kafka.publishes, kafka.publishes_frames, kafka.is_read

    assert chosen() == (True, False, False)
    assert chosen(publish=("frames",)) == (False, True, False)
    assert chosen(publish=(), read_frames=True) == (False, False, True)


@pytest.mark.parametrize(
    ("name", "variables", "words"),
    [
        ("brokers", {"BROKERS": "kafka://k1:9092"}, "write host and port alone"),
        ("brokers", {"BROKERS": "k1"}, "write host and port, such as 127.0.0.1:9092"),
        ("read_frames", {"READ_FRAMES": "true"}, "set kafka.brokers"),
        ("publish", {"BROKERS": "k1:9092", "READ_FRAMES": "true", "PUBLISH": "frames"}, "leave one out"),
        ("user", {"USER": "flow"}, "set both, or none"),
        ("password", {"PASSWORD": "hidden-word"}, "set both, or none"),
        ("tls_cert", {"TLS": "true", "TLS_CERT": "a.pem"}, "set both, or none"),
        ("tls_ca", {"TLS_CA": "a.pem"}, "set tls = true"),
        (
            "mechanism",
            {"BROKERS": "k1:9092", "USER": "flow", "PASSWORD": "hidden-word", "MECHANISM": "PLAIN"},
            "PLAIN sends the password in plain text",
        ),
    ],
)
def test_what_does_not_fit_is_named_without_its_secret(
    name: str, variables: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(f"MARKETFLOW_KAFKA__{variable}", value)
    with pytest.raises(SettingsError, match=re.escape(words)) as raised:
        load_settings()
    assert f"kafka.{name}" in str(raised.value).lower().replace("__", ".")
    assert "hidden-word" not in str(raised.value)


def test_the_password_is_given_to_the_library_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETFLOW_KAFKA__BROKERS", "127.0.0.1:9092,127.0.0.2:9092")
    monkeypatch.setenv("MARKETFLOW_KAFKA__USER", "flow")
    monkeypatch.setenv("MARKETFLOW_KAFKA__PASSWORD", "hidden-word")
    settings = load_settings()
    config = client_config(settings.kafka)
    assert config["bootstrap.servers"] == "127.0.0.1:9092,127.0.0.2:9092"
    assert config["security.protocol"] == "SASL_PLAINTEXT"
    assert (config["sasl.mechanism"], config["sasl.username"]) == ("SCRAM-SHA-512", "flow")
    assert config["sasl.password"] == "hidden-word"
    for text in (repr(settings), str(settings.kafka), shown(settings.kafka.brokers)):
        assert "hidden-word" not in text


def test_a_file_of_tls_that_cannot_be_read_is_named_with_its_setting(tmp_path: Any) -> None:
    absent, present = tmp_path / "absent.pem", tmp_path / "ca.pem"
    present.write_text("")
    kafka = Kafka(**BROKERS, tls=True, tls_ca=present, tls_cert=absent, tls_key=present)
    with pytest.raises(KafkaError, match=rf"kafka\.tls_cert: {re.escape(str(absent))} cannot be read: No such file"):
        check_files(kafka)
    config = client_config(kafka)
    assert (config["security.protocol"], config["ssl.ca.location"]) == ("SSL", str(present))
