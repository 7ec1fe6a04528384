"""Alerts on their way out: durable first, then delivered in order, once in effect."""

import queue
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from flows.model import Incident
from flows.model.alerts import Alert
from flows.model.secret import Secret
from sinks.alerts import writer as module
from sinks.alerts.outbox import Outbox
from sinks.alerts.webhook import Webhook
from sinks.alerts.writer import AlertWriter
from tests.fakes.alerts import PATIENCE_S, SECRET, Receiver, alert, receiver

FIRST_RETRY_S = 0.01


class History:
    """What the store of the history got."""

    def __init__(self) -> None:
        self.alerts: list[str] = []
        self._changed = threading.Condition()

    def __call__(self, alerts: Sequence[Alert]) -> None:
        with self._changed:
            self.alerts += [one.id for one in alerts]
            self._changed.notify_all()

    def wait(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.alerts) >= count, PATIENCE_S)


def writer(folder: Path, there: Receiver | None = None, **more: Any) -> AlertWriter:
    webhook = Webhook(there.url, Secret(SECRET)) if there else None
    return AlertWriter(Outbox(folder), webhook=webhook, first_retry_s=FIRST_RETRY_S, **more)


def numbers(there: Receiver) -> list[int]:
    return [body["data"]["seen"]["trade_id"] - 40 for body in there.taken]


def test_alerts_are_delivered_in_their_order_and_those_that_are_refused_first(tmp_path: Path) -> None:
    incidents: list[Incident] = []
    history = History()
    with receiver() as there:
        there.refusals = [500, 503, 404]
        mine = writer(tmp_path, there, history=history, on_incident=incidents.append)
        mine.write([alert(1), alert(2)])
        mine.write([alert(3)])
        there.wait(taken=3)
        mine.close()
        assert numbers(there) == [1, 2, 3]
        assert there.attempts[:4] == [alert(1).id] * 4
        assert there.wrong == []
    assert history.alerts == [alert(number).id for number in (1, 2, 3)]
    assert [one.kind for one in incidents] == ["store_outage", "store_outage"]
    assert (mine.counts.fired, mine.counts.delivered) == (3, 3)


def test_an_alert_whose_content_is_refused_holds_up_the_others_for_some_attempts_only(tmp_path: Path) -> None:
    with receiver() as there:
        there.refusals = [400, 500, *[422] * (module.REFUSED_TRIES - 1)]
        mine = writer(tmp_path, there)
        mine.write([alert(1), alert(2)])
        there.wait(taken=1)
        mine.close()
        assert numbers(there) == [2]
        assert there.attempts == [alert(1).id] * (module.REFUSED_TRIES + 1) + [alert(2).id]
    assert (mine.counts.delivered, mine.waiting) == (1, 0)


def test_what_was_not_delivered_is_after_the_next_start(tmp_path: Path) -> None:
    with receiver() as there:
        there.refusals = [500] * 1_000
        mine = writer(tmp_path, there)
        mine.write([alert(1), alert(2)])
        there.wait(attempts=3)
        mine.close()
        assert there.taken == []
        there.refusals = []
        history = History()
        again = writer(tmp_path, there, history=history)
        there.wait(taken=2)
        again.write([alert(2), alert(3)])  # one of them had been in the state of the engine too
        there.wait(taken=3)
        again.close()
        assert numbers(there) == [1, 2, 3]
        assert history.alerts[:2] == [alert(1).id, alert(2).id]  # the last process may not have stored them


def test_what_waits_for_a_webhook_that_is_gone_waits_on_and_keeps_nothing_busy(tmp_path: Path) -> None:
    with receiver() as there:
        there.refusals = [500] * 1_000
        mine = writer(tmp_path, there)
        mine.write([alert(1)])
        there.wait(attempts=1)
        mine.close()
        assert mine.waiting == 1
        without = writer(tmp_path)
        assert (without.waiting, without._buffer._is_waiting()) == (0, False)
        without.close()
        there.refusals = []
        again = writer(tmp_path, there)
        there.wait(taken=1)
        again.close()
        assert again.waiting == 0


def test_without_a_webhook_alerts_are_kept_and_nothing_waits(tmp_path: Path) -> None:
    history = History()
    mine = writer(tmp_path, history=history)
    mine.write([alert(1)])
    history.wait(1)
    assert mine.waiting == 0
    mine.close()
    with receiver() as there:
        later = writer(tmp_path, there)  # what fired before there was a receiver is not for it
        later.write([alert(2)])
        there.wait(taken=1)
        later.close()
        assert numbers(there) == [2]


class SlowOutbox(Outbox):
    """Its disk takes nothing until it may."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.is_asked, self.may_go_on = threading.Event(), threading.Event()

    def add(self, alerts: Sequence[Alert], *, now_ms: int, waits: bool) -> None:
        self.is_asked.set()
        assert self.may_go_on.wait(PATIENCE_S)
        super().add(alerts, now_ms=now_ms, waits=waits)


def test_what_is_not_on_disk_yet_is_part_of_the_recovered_state(tmp_path: Path) -> None:
    history, outbox = History(), SlowOutbox(tmp_path)
    mine = AlertWriter(outbox, webhook=None, history=history)
    mine.write([alert(1)])
    assert outbox.is_asked.wait(PATIENCE_S)
    assert mine.pending() == [alert(1)]
    outbox.may_go_on.set()
    history.wait(1)
    assert mine.pending() == []
    mine.resume([alert(1)])
    history.wait(2)
    mine.close()
    again = Outbox(tmp_path)
    assert again.recent() == [alert(1)]
    again.close()


class FullOutbox(Outbox):
    """Its disk is full until there is room."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.attempts: queue.Queue[int] = queue.Queue()
        self.has_room = False

    def add(self, alerts: Sequence[Alert], *, now_ms: int, waits: bool) -> None:
        self.attempts.put(len(alerts))
        if not self.has_room:
            raise sqlite3.OperationalError("database or disk is full")
        super().add(alerts, now_ms=now_ms, waits=waits)


def test_a_full_disk_is_tried_again_after_a_pause_or_when_more_comes(tmp_path: Path) -> None:
    history, outbox = History(), FullOutbox(tmp_path)
    mine = AlertWriter(outbox, webhook=None, history=history, first_retry_s=PATIENCE_S / 2)
    mine.write([alert(1)])
    assert outbox.attempts.get(timeout=PATIENCE_S) == 1
    mine.write([alert(2)])
    assert outbox.attempts.get(timeout=PATIENCE_S) == 2
    with pytest.raises(queue.Empty):
        outbox.attempts.get(timeout=1)
    assert mine.pending() == [alert(1), alert(2)]
    outbox.has_room = True
    mine.write([alert(3)])
    history.wait(3)
    mine.close()
    assert history.alerts == [alert(number).id for number in (1, 2, 3)]


def test_a_close_with_nothing_held_loses_nothing() -> None:
    buffer = module._AlertBuffer(2, lambda: False)
    buffer.close()
    assert buffer.take_rest() == []


def test_what_memory_cannot_hold_is_lost_oldest_first_and_counted() -> None:
    buffer = module._AlertBuffer(2, lambda: False)
    assert buffer.put([alert(number) for number in (1, 2, 3, 4)])
    assert buffer.held() == [alert(3), alert(4)]
    assert buffer.take_losses() == [2]
    before = buffer.held()
    buffer.put([alert(5)])
    buffer.settle(before)
    assert [one.number for one in buffer.held()] == [5]
    buffer.put([alert(4)])
    assert buffer.take_losses() == [1]
    buffer.close()
    assert not buffer.put([alert(5)])
    assert buffer.take_rest() == [2]
    assert len(buffer) == 0
