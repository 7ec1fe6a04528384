from typing import Any

from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSource, run_main

from sinks.bridge import PartitionedWriterSink, RecoverableWriter, SharedWriter, WriterSink
from sinks.mongo.writer import MongoWriter
from sinks.trades.writer import TradeWriter


class Kept:
    """A writer that keeps what it gets."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.closed = 0

    def write(self, batch: list[Any]) -> None:
        self.items += batch

    def close(self) -> None:
        self.closed += 1


def run(items: list[Any], sink: Any) -> None:
    flow = Dataflow("test")
    op.output("out", op.input("in", flow, TestingSource(items, batch_size=2)), sink)
    run_main(flow)


def test_a_writer_gets_everything_and_is_closed() -> None:
    kept = Kept()
    run([1, 2, 3], WriterSink(lambda: kept))
    assert (kept.items, kept.closed) == ([1, 2, 3], 1)


def test_keys_go_to_their_partition_and_packed_batches_are_written_as_one() -> None:
    opened: dict[str, Kept] = {}

    def open_writer(part: str) -> Kept:
        opened[part] = Kept()
        return opened[part]

    parts = ["part-00", "part-01"]
    run([("0", ["a", "b"]), ("1", ["c"]), ("0", ["d"])], PartitionedWriterSink(parts, open_writer, int))
    assert {part: writer.items for part, writer in opened.items()} == {
        "part-00": ["a", "b", "d"],
        "part-01": ["c"],
    }
    assert all(writer.closed == 1 for writer in opened.values())


def test_a_shared_writer_is_closed_by_its_last_user_and_only_once_by_each() -> None:
    kept = Kept()
    shared = SharedWriter(kept)
    first, second = shared.open(), shared.open()
    first.close()
    first.close()
    second.write([1])
    assert kept.closed == 0
    second.close()
    assert (kept.items, kept.closed) == ([1], 1)


class Keeper(Kept):
    """A writer that could not write its last items yet."""

    def pending(self) -> list[Any]:
        return self.items[-1:]

    def resume(self, pending: list[Any]) -> None:
        self.items += [("again", item) for item in pending]


def test_what_is_pending_is_part_of_the_state_and_comes_back_after_a_restart() -> None:
    kept: list[Keeper] = []

    def open_keeper(_: str) -> Keeper:
        kept.append(Keeper())
        return kept[-1]

    sink = PartitionedWriterSink(["only"], open_keeper)
    first = sink.build_part("out", "only", None)
    first.write_batch([["a"], ["b"]])
    second = sink.build_part("out", "only", first.snapshot())
    second.write_batch([["c"]])
    assert kept[1].items == [("again", "b"), "c"]


def test_a_shared_writer_is_recoverable_if_the_writer_is() -> None:
    keeper, kept = Keeper(), Kept()
    part = PartitionedWriterSink(["only"], lambda _: SharedWriter(keeper).open()).build_part("out", "only", ["a"])
    part.write_batch([["b"]])
    assert (keeper.items, part.snapshot()) == ([("again", "a"), "b"], ["b"])
    assert not isinstance(SharedWriter(kept).open(), RecoverableWriter)


def test_the_stores_of_the_flow_are_recoverable() -> None:
    writers: list[type[RecoverableWriter[Any]]] = [MongoWriter, TradeWriter]
    assert all(issubclass(writer, RecoverableWriter) for writer in writers)


def test_a_writer_that_keeps_nothing_has_no_state() -> None:
    sink = PartitionedWriterSink(["only"], lambda _: Kept())
    assert sink.build_part("out", "only", None).snapshot() is None
