import errno
import os
import pickle
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bytewax.dataflow import Dataflow
from bytewax.outputs import FixedPartitionedSink
from bytewax.recovery import RecoveryConfig
from bytewax.testing import TestingSink, TestingSource, run_main

from flows.bounds import VenueRules
from flows.graph import Sinks, market_flow
from flows.machine import refuse_queries
from flows.model import Flush, RawFrames
from flows.model.account import AccountEvent
from flows.model.alerts import RuleBook
from flows.operators.state_version import StateVersionError
from flows.process.disk import DiskFullError
from flows.recovered import MACHINE_STEPS, STEPS, TRADES_STEP, state_fault
from flows.recovery import RecoveryError, check, engine_flags, prepare
from flows.settings import Accounts, Feed
from flows.steps import AccountParts, AlertParts, sequence_candles
from sinks.bridge import PartitionedWriterSink
from sources.binance.parse import BinanceParser
from tests.fakes.recordings import trx_frames

KEY = "binance:BTCUSDT"


def fresh() -> tuple[Any, ...]:
    """The state of a machine that has seen nothing, as this program writes it."""
    return sequence_candles(KEY, None, feed=Feed(), can_query=True).snapshot()


def prepared(directory: Path, *states: Any, step_id: str = TRADES_STEP, kept_for: str = KEY) -> Path:
    """A recovery store that holds these states of one key, the newest one last."""
    prepare(directory)
    [file] = directory.glob("part-*.sqlite3")
    with closing(sqlite3.connect(file)) as database, database:
        for epoch, state in enumerate(states):
            pickled = state if isinstance(state, bytes) else pickle.dumps((KEY, state))
            database.execute(
                "INSERT INTO snaps (step_id, state_key, snap_epoch, ser_change) VALUES (?, ?, ?, ?)",
                (step_id, kept_for, epoch, pickled),
            )
    return directory


def refused(directory: Path) -> str:
    """Why a directory is refused: one line that names it and what to do."""
    with pytest.raises(RecoveryError) as caught:
        check(directory, state_fault)
    text = str(caught.value)
    assert "\n" not in text
    assert str(directory) in text
    return text


def test_a_store_whose_making_was_interrupted_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "part-0.sqlite3").touch()
    assert prepare(tmp_path)
    check(tmp_path, state_fault)
    assert "new" not in {file.name for file in tmp_path.iterdir()}


def test_a_store_that_finds_no_room_is_not_made_and_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    prepared(tmp_path / "made")
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", fsync)
        with pytest.raises(DiskFullError, match="make room"):
            prepare(tmp_path / "store")
        with pytest.raises(DiskFullError, match=str(tmp_path / "made")):
            check(tmp_path / "made", state_fault)
    assert list((tmp_path / "store").iterdir()) == []
    assert prepare(tmp_path / "store")


def test_the_store_is_made_once_and_left_alone_afterwards(tmp_path: Path) -> None:
    directory = tmp_path / "data" / "recovery"
    assert prepare(directory)
    [made] = directory.iterdir()
    content = made.read_bytes()
    assert not prepare(directory)
    assert [path.read_bytes() for path in directory.iterdir()] == [content]


def test_what_this_program_writes_is_resumed(tmp_path: Path) -> None:
    check(prepared(tmp_path / "new"), state_fault)
    check(prepared(tmp_path / "used", fresh(), fresh()), state_fault)


@pytest.mark.parametrize("machine", [0, 1, 2])
@pytest.mark.parametrize("version", [1, 99, None, "3", True])
def test_states_of_another_version_are_refused(tmp_path: Path, machine: int, version: Any) -> None:
    states = list(fresh())
    states[machine] = (version, *states[machine][1:])
    said = refused(prepared(tmp_path / "recovery", fresh(), tuple(states)))
    assert "written by another version" in said
    assert KEY in said
    assert f"move {tmp_path / 'recovery'} away and start again" in said
    with pytest.raises(StateVersionError, match="has version"):
        sequence_candles(KEY, tuple(states), feed=Feed(), can_query=True)


DAMAGED = [
    {"next_id": "1"},
    {"last_time": None},
    {"counts_fills": 1},
    {"held": [("BTCUSDT", 1)]},
    {"gaps": [(1, 2, 3)]},
]


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_sequence_with_a_field_of_another_type_is_refused(tmp_path: Path, damage: dict[str, Any]) -> None:
    damaged = (fresh()[0]._replace(**damage), *fresh()[1:])
    assert "has another form: " in refused(prepared(tmp_path / "recovery", damaged))
    with pytest.raises(StateVersionError, match="the state of the sequence of trades has another form"):
        sequence_candles(KEY, damaged, feed=Feed(), can_query=True)


def test_a_sequence_that_lacks_a_field_is_refused(tmp_path: Path) -> None:
    damaged = (fresh()[0][:-1], *fresh()[1:])
    assert "has another form: " in refused(prepared(tmp_path / "recovery", damaged))


DAMAGED_PROOFS = [
    {"tracks": {"1m": (None, -1, {}, {})}},
    {"tracks": {"1m": (None, "-1", {}, {}, {})}},
    {"waiting": [1]},
    {"disputed": [(1, 2, 3)]},
    {"disputed": [("1", 2, 3, 4)]},
]


@pytest.mark.parametrize("damage", DAMAGED_PROOFS)
def test_proofs_with_a_field_of_another_type_are_refused(tmp_path: Path, damage: dict[str, Any]) -> None:
    damaged = (*fresh()[:2], fresh()[2]._replace(**damage))
    assert "has another form: " in refused(prepared(tmp_path / "recovery", damaged))
    with pytest.raises(StateVersionError, match="the state of the proofs of candles has another form"):
        sequence_candles(KEY, damaged, feed=Feed(), can_query=True)


@pytest.mark.parametrize("state", [None, 7, (), (fresh()[0],), "text"])
def test_states_of_another_form_are_refused(tmp_path: Path, state: Any) -> None:
    assert "written by another version" in refused(prepared(tmp_path / "recovery", state))


def test_a_state_of_classes_that_are_gone_is_refused(tmp_path: Path) -> None:
    assert "does not load" in refused(prepared(tmp_path / "recovery", b"cflows.gone\nClass\n."))


def test_steps_that_keep_nothing_take_anything(tmp_path: Path) -> None:
    check(prepared(tmp_path / "recovery", (0,), step_id="marketflow.source"), state_fault)


@pytest.mark.parametrize("step", ["sequence_candles_reconcile.machine", "mongodb", "rocksdb"])
def test_states_of_steps_that_have_another_id_now_are_refused(tmp_path: Path, step: str) -> None:
    """As version 0.1.0 left them before the steps were named anew: the engine would ignore them silently."""
    said = refused(prepared(tmp_path / "recovery", fresh(), step_id=f"marketflow.{step}"))
    assert f"written by another version: it holds the state of a step marketflow.{step}" in said
    assert f"move {tmp_path / 'recovery'} away and start again" in said


@pytest.mark.parametrize("step", sorted(MACHINE_STEPS))
@pytest.mark.parametrize("kept_for", ["binance:ETHUSDT", "binance-usdm:BTCUSDT", "binance:btcusdt", ""])
def test_a_state_that_is_kept_for_another_instrument_is_refused(tmp_path: Path, step: str, kept_for: str) -> None:
    directory = tmp_path / "recovery"
    said = refused(prepared(directory, fresh(), step_id=step, kept_for=kept_for))
    assert f"what it holds for {kept_for} in {step} is the state of {KEY!r}" in said
    assert f"move {directory} away and start again" in said


class Nowhere:
    def write(self, batch: list[Any]) -> None: ...

    def close(self) -> None: ...


def recoverable_flow(*, has_alerts: bool = True) -> Dataflow:
    """The flow with every step that can leave a state."""

    def sink() -> PartitionedWriterSink[Any]:
        return PartitionedWriterSink(["only"], lambda _: Nowhere())

    return market_flow(
        source=TestingSource([RawFrames("market", trx_frames()[:50], 0), Flush(), Flush(final=True)]),
        parser=BinanceParser("binance"),
        feed=Feed(streams=("trade",)),
        sinks=Sinks(
            candles=sink(),
            trades=sink(),
            broadcast=sink(),
            bus=sink(),
            kafka=sink(),
            rejects=TestingSink([]),
            incidents=TestingSink([]),
            commands=TestingSink([]),
            alerts=sink() if has_alerts else None,
        ),
        runner=refuse_queries,
        rules=VenueRules(has_derivatives=True),
        account=AccountParts(TestingSource([("binance:mine", AccountEvent("opened"))]), "mine", Accounts()),
        alerts=AlertParts(RuleBook, str, 5_000) if has_alerts else None,
    )


def test_without_rules_nothing_of_alerts_is_in_the_flow() -> None:
    without = [step.step_id for step in core_steps(recoverable_flow(has_alerts=False).substeps)]
    assert not [step for step in without if "alert" in step]
    own = [step.step_id for step in core_steps(recoverable_flow().substeps) if step.step_id not in without]
    assert {step.split(".")[1] for step in own if "hub." not in step} == {"alerts", "alert_outbox"}


def core_steps(steps: list[Any]) -> Iterator[Any]:
    for step in steps:
        yield from core_steps(step.substeps) if step.substeps else [step]


def keeps_state(step: Any) -> bool:
    kind = type(step).__name__
    return kind in ("input", "stateful_batch") or (kind == "output" and isinstance(step.sink, FixedPartitionedSink))


def test_every_step_that_can_leave_a_state_is_known() -> None:
    assert {step.step_id for step in core_steps(recoverable_flow().substeps) if keeps_state(step)} == STEPS


def test_what_the_engine_has_written_is_resumed(tmp_path: Path) -> None:
    prepare(tmp_path)
    run_main(recoverable_flow(), epoch_interval=timedelta(0), recovery_config=RecoveryConfig(tmp_path))
    check(tmp_path, state_fault)
    with closing(sqlite3.connect(tmp_path / "part-0.sqlite3")) as database:
        steps = {step for (step,) in database.execute("SELECT step_id FROM snaps")}
    assert TRADES_STEP in steps
    assert steps <= STEPS


def test_what_the_engine_has_written_for_another_instrument_is_refused(tmp_path: Path) -> None:
    prepare(tmp_path)
    run_main(recoverable_flow(), epoch_interval=timedelta(0), recovery_config=RecoveryConfig(tmp_path))
    with closing(sqlite3.connect(tmp_path / "part-0.sqlite3")) as database, database:
        change = "UPDATE snaps SET state_key = 'binance:ETHUSDT' WHERE state_key = 'binance:TRXUSDT' AND step_id = ?"
        assert database.execute(change, (TRADES_STEP,)).rowcount > 0
    assert f"binance:ETHUSDT in {TRADES_STEP} is the state of 'binance:TRXUSDT'" in refused(tmp_path)


def test_every_machine_of_the_flow_is_known_as_one() -> None:
    steps = {step.step_id for step in core_steps(recoverable_flow().substeps)}
    assert {step for step in steps if step.endswith(".machine")} == MACHINE_STEPS


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def overwritten(file: Path) -> None:
    file.write_bytes(b"no database at all\n" * 1_000)


def without_a_table(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database:
        database.execute("DROP TABLE fronts")


def of_another_store(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE parts SET part_count = 3")


@pytest.mark.parametrize("damage", [cut, emptied, overwritten, without_a_table, of_another_store])
def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    directory = prepared(tmp_path / "recovery", *[fresh()] * 20)
    damage(directory / "part-0.sqlite3")
    assert "part-0.sqlite3 cannot be used" in refused(directory)


def test_a_directory_that_is_none_or_was_not_prepared(tmp_path: Path) -> None:
    assert "prepare it with python -m flows.recovery" in refused(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    assert "is no directory" in refused(tmp_path / "file")


@pytest.mark.parametrize(
    ("arguments", "environment", "recovery", "is_cluster"),
    [
        (["-r", "data/r", "-s", "5", "-b", "0"], {}, "data/r", False),
        (["-rdata/r", "-w", "2"], {}, "data/r", False),
        (["--recovery-directory=data/r"], {"BYTEWAX_RECOVERY_DIRECTORY": "other"}, "data/r", False),
        (["-i", "0", "-a", "127.0.0.1:1;127.0.0.1:2"], {}, None, True),
        ([], {"BYTEWAX_RECOVERY_DIRECTORY": "data/r", "BYTEWAX_ADDRESSES": "a:1;b:2"}, "data/r", True),
        (["-r"], {}, None, False),
    ],
)
def test_the_flags_of_the_engine(
    arguments: list[str], environment: dict[str, str], recovery: str | None, is_cluster: bool
) -> None:
    found = engine_flags(["/lib/bytewax/run.py", "flows.main", *arguments], environment)
    assert found == (Path(recovery) if recovery else None, is_cluster)


def test_the_flags_of_another_program_do_not_count() -> None:
    assert engine_flags(["/bin/pytest", "-rA"], {}) == (None, False)
    assert engine_flags([], {}) == (None, False)
