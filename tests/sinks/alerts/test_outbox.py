"""Alerts on disk."""

import sqlite3
from pathlib import Path
from random import randbytes

import pytest
from structlog.testing import capture_logs

from flows.model.alerts import LastAlert
from sinks.alerts.outbox import FILE, Outbox, OutboxError
from tests.fakes.alerts import BEGIN, alert


def ids(outbox: Outbox) -> list[str]:
    """All that waits, in order; it is settled."""
    found = []
    while one := outbox.next_waiting():
        found.append(one.id)
        outbox.settle(one.id)
    return found


def test_what_waits_comes_back_in_its_order_and_each_once(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "new" / "folder")
    one, two, three = alert(1), alert(2), alert(1, rule="other")
    outbox.add([one, two], now_ms=1, waits=True)
    outbox.add([two, three], now_ms=2, waits=True)
    assert outbox.waiting == 3
    assert outbox.next_waiting() == one
    outbox.settle(one.id)
    outbox.close()
    again = Outbox(tmp_path / "new" / "folder")
    assert again.recent() == [one, two, three]
    assert again.recent(since_ms=2) == [three]
    assert ids(again) == [two.id, three.id]
    again.add([one, two, three], now_ms=3, waits=True)
    assert again.waiting == 0  # what was delivered is not delivered again


def test_the_newest_of_each_rule_and_instrument_is_known_for_ever(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, kept=2)
    outbox.add(
        [alert(1), alert(2), alert(1, symbol="ETHUSDT"), alert(1, rule="b"), alert(2, rule="b")], now_ms=1, waits=False
    )
    outbox.trim()
    assert [one.number for one in outbox.recent()] == [1, 2]
    newest = outbox.newest()
    assert {key: last.number for key, last in newest.items()} == {
        ("high", "binance", "BTCUSDT"): 2, ("high", "binance", "ETHUSDT"): 1, ("b", "binance", "BTCUSDT"): 2,
    }  # fmt: skip
    assert newest["b", "binance", "BTCUSDT"] == LastAlert(alert(2, rule="b").rule, BEGIN, 2, BEGIN + 2)
    assert outbox._all("SELECT count(*) FROM alerts") == [(4,)]


def test_what_is_too_old_or_too_much_is_given_up_oldest_first(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    for number in range(1, 7):
        outbox.add([alert(number)], now_ms=100 * number, waits=True)
    assert outbox.give_up(before_ms=201, most=3) == 3
    assert ids(outbox) == [alert(number).id for number in (4, 5, 6)]


def test_a_second_process_is_refused_while_the_first_has_the_file(tmp_path: Path) -> None:
    first = Outbox(tmp_path)
    with pytest.raises(OutboxError, match=r"\(alerts\.path\): .*another process uses it"):
        Outbox(tmp_path, lock_s=0.05)
    first.close()
    Outbox(tmp_path).close()


def test_a_file_of_another_version_or_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    Outbox(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(OutboxError, match="it has version 9"):
        Outbox(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OutboxError, match="cannot be opened"):
        Outbox(tmp_path / "file")


def test_one_that_cannot_be_read_holds_up_no_other(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.add([alert(1), alert(2)], now_ms=1, waits=True)
    outbox._run("UPDATE alerts SET record = '{}' WHERE id = ?", alert(1).id)
    assert ids(outbox) == [alert(2).id]
    assert [one.number for one in outbox.recent()] == [2]


@pytest.mark.parametrize("damage", ["cut in half", "zeros", "noise", "foreign"])
def test_a_damaged_file_is_moved_away_whole_and_alerts_go_on(tmp_path: Path, damage: str) -> None:
    outbox = Outbox(tmp_path)
    outbox.add([alert(number) for number in range(1_000)], now_ms=1, waits=True)
    outbox.close()
    whole = (tmp_path / FILE).read_bytes()
    rest = len(whole) - 8_192
    kept = {"cut in half": whole[: len(whole) // 2], "zeros": whole[:8_192] + bytes(rest), "foreign": b"text" * 2_000}
    there = kept.get(damage, whole[:8_192] + randbytes(rest))
    (tmp_path / FILE).write_bytes(there)
    with capture_logs() as logs:
        again = Outbox(tmp_path)
    [line] = logs
    assert (line["event"], line["log_level"]) == ("outbox_damaged", "error")
    assert Path(line["moved_to"]).read_bytes() == there
    again.add([alert(1)], now_ms=2, waits=True)
    assert ids(again) == [alert(1).id]
