import pytest
from structlog.testing import capture_logs

from flows.model import Incident, IncidentKind, Rejected
from sinks.ledger import KEPT, LONGEST_MS, IncidentWriter, LogPace, RejectWriter


def refused(number: int) -> Rejected:
    return Rejected("binance", f"reason {number}", f"payload {number}".encode(), number)


def test_refused_messages_are_counted_kept_and_logged_once_a_second() -> None:
    now = [0]
    writer = RejectWriter(local_ms=lambda: now[0])
    with capture_logs() as logs:
        writer.write([refused(0)])
        now[0] = 999
        writer.write([refused(number) for number in range(1, KEPT + 5)])
        now[0] = 1_000
        writer.write([refused(KEPT + 5)])
        writer.close()
    assert writer.counts.total() == KEPT + 6
    assert [item.received_ns for item in writer.kept] == list(range(6, KEPT + 6))
    assert [(entry["count"], entry["last_reason"]) for entry in logs] == [
        (1, "reason 0"),
        (KEPT + 5, f"reason {KEPT + 5}"),
    ]


def test_closing_says_what_was_held_back() -> None:
    writer = RejectWriter(local_ms=lambda: 0)
    with capture_logs() as logs:
        writer.write([refused(0)])
        writer.write([refused(1)])
        writer.close()
    assert [entry["last_payload"] for entry in logs] == ["payload 0", "payload 1"]


def test_a_refused_message_does_nothing_to_where_it_is_shown() -> None:
    payload = b'\x1b[2J\xff{"e":\r\n' + "\u202e".encode() + b"x" * 100_000
    with capture_logs() as logs:
        RejectWriter(local_ms=lambda: 0).write([Rejected("binance", "no\nprice\x1b[1m", payload, 0)])
    assert logs[0]["last_reason"] == "no price"
    assert logs[0]["last_payload"] == '\ufffd{"e": ' + "x" * 192 + "…"


class Keeper:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.kept: list[Incident] = []
        self.closed = False

    def write(self, batch: list[Incident]) -> None:
        self.kept += batch

    def close(self) -> None:
        self.closed = True


def test_incidents_are_logged_and_kept() -> None:
    keeper = Keeper()
    incident = Incident("gap", "binance", "BTCUSDT", 1, 2, "3 trades did not arrive", "open", 7, 9)
    with capture_logs() as logs:
        writer = IncidentWriter()
        writer.add_sink(keeper)
        writer.write([incident])
        writer.close()
    assert (keeper.kept, keeper.closed) == ([incident], True)
    assert (logs[0]["event"], logs[0]["kind"], logs[0]["first_id"], logs[0]["last_id"]) == ("incident", "gap", 7, 9)


@pytest.mark.parametrize(
    ("kind", "level"),
    [("gap", "warning"), ("history", "warning"), ("repair", "info"), ("reconnect", "info"), ("partial", "info")],
)
def test_what_is_put_right_is_no_warning(kind: IncidentKind, level: str) -> None:
    with capture_logs() as logs:
        IncidentWriter().write([Incident(kind, "binance", "BTCUSDT", 1, 2, "3 trades did not arrive")])
    assert [entry["log_level"] for entry in logs] == [level]


def test_a_keeper_that_knows_the_flow_gets_each_incident_once() -> None:
    store, hub = Keeper(), Keeper()
    found = Incident("gap", "binance", "BTCUSDT", 1, 2, "3 trades did not arrive", "open", 7, 9)
    outside = Incident("store_outage", "binance", "", 1, 2, "the store takes nothing", "trying on")
    with capture_logs() as logs:
        writer = IncidentWriter()
        writer.add_sink(store)
        writer.add_sink(hub, gets_flow_incidents=True)
        writer.write([found])
        writer.report(outside)
        writer.close()
    assert store.kept == [found, outside]
    assert hub.kept == [outside]
    assert hub.closed
    assert [(entry["event"], entry["kind"]) for entry in logs] == [("incident", "gap"), ("incident", "store_outage")]
    assert writer.counts == {("binance", "gap"): 1, ("binance", "store_outage"): 1}


HOUR_S = 3_600


def reject(number: int) -> Incident:
    cause = f"trades refused: {number} (BTCUSDT {number}), the last one for this: its id is {number} too high"
    return Incident("reject", "binance", "BTCUSDT", number, number, cause, "kept out of everything")


def test_a_stream_that_is_refused_for_an_hour_is_logged_once_a_minute_and_every_message_is_counted() -> None:
    now = [0]
    rejects, incidents, keeper = (
        RejectWriter(local_ms=lambda: now[0]),
        IncidentWriter(local_ms=lambda: now[0]),
        Keeper(),
    )
    incidents.add_sink(keeper)
    with capture_logs() as logs:
        for second in range(HOUR_S):
            now[0] = second * 1_000
            rejects.write([refused(number) for number in range(10)])
            incidents.write([reject(second)])
        rejects.close()
    messages = [entry for entry in logs if entry["event"] == "messages_refused"]
    told = [entry for entry in logs if entry["event"] == "incident"]
    assert sum(entry["count"] for entry in messages) == rejects.counts.total() == 10 * HOUR_S
    assert len(keeper.kept) == incidents.counts.total() == HOUR_S
    assert HOUR_S - len(told) - sum(entry.get("not_logged", 0) for entry in told) < LONGEST_MS / 1_000
    for entries in (messages, told):
        assert HOUR_S / 60 <= len(entries) <= HOUR_S / 60 + 10


def test_a_new_reason_is_logged_within_a_second_and_after_a_calm_minute_all_is_new() -> None:
    pace = LogPace()
    logged = [now for now in range(0, 40_000, 500) if pace.admits(f"odd {now}", now)]
    assert logged == [0, 1_000, 3_000, 7_000, 15_000, 31_000]
    assert [pace.admits(reason, 40_000) for reason in ("even", "other")] == [True, False]
    assert pace.admits("other", 41_000)
    assert not pace.admits("odd 7", 41_000 + LONGEST_MS // 2)
    calm = 41_000 + LONGEST_MS // 2 + LONGEST_MS
    assert [pace.admits("odd 8", calm + later) for later in (0, 999, 1_000)] == [True, False, True]


def test_reasons_without_number_need_no_memory_and_no_more_than_a_line_a_second() -> None:
    pace = LogPace()
    words = ("".join(chr(ord("a") + int(digit)) for digit in str(number)) for number in range(100_000))
    logged = sum(pace.admits(word, 10 * place) for place, word in enumerate(words))
    assert logged == 1_000
