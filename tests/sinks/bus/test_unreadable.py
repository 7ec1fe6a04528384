"""What cannot be read is counted, and does not fill the log."""

from structlog.testing import capture_logs

from sinks.bus.unreadable import Unreadable


def test_the_first_is_said_and_then_each_doubling() -> None:
    found = Unreadable()
    with capture_logs() as logs:
        for number in range(1_000):
            found.count(f"mf.{number}", ValueError("no JSON"))
    assert [(line["total"], line["subject"]) for line in logs] == [(2**n, f"mf.{2**n - 1}") for n in range(10)]
    assert {line["reason"] for line in logs} == {"no JSON"}
