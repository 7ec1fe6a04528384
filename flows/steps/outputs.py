"""Streams into the sinks."""

from collections.abc import Mapping, Sequence
from functools import partial

from bytewax import operators as op
from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream
from bytewax.outputs import Sink

from flows.model import Document, Instrument, Publishable, TradeBatch, VenueItems
from flows.model.alerts import Alert
from flows.steps.streams import X, built, merged


def output(step_id: str, *streams: Stream[X] | None, sink: Sink[X] | None) -> None:
    """Streams into a sink; without one they are not read."""
    if sink is not None:
        _output(step_id, sink, *built(streams))


def broadcast(
    step_id: str,
    items: Mapping[str, Sequence[Stream[Publishable] | None]],
    sink: Sink[tuple[str, list[Publishable]]] | None,
) -> None:
    """Everything for clients, by venue, to the one hub of the deployment."""
    if sink is not None:
        owned = [(venue, stream) for venue, streams in items.items() for stream in built(streams)]
        _broadcast(step_id, [venue for venue, _ in owned], sink, *(stream for _, stream in owned))


def to_mongo(step_id: str, *documents: Stream[Document] | None, sink: Sink[tuple[str, list[Document]]] | None) -> None:
    """Candles and statistics, to the one writer of the deployment."""
    if sink is not None:
        _output_packed(step_id, "mongodb", sink, *built(documents))


def to_alerts(step_id: str, *fired: Stream[Alert] | None, sink: Sink[tuple[str, list[Alert]]] | None) -> None:
    """Alerts, to the one outbox of the deployment."""
    if sink is not None and (streams := built(fired)):
        _output_packed(step_id, "alerts", sink, *streams)


def to_rocksdb(step_id: str, *trades: Stream[TradeBatch], sink: Sink[tuple[str, list[TradeBatch]]] | None) -> None:
    """Trades, to the partitions of their store."""
    if sink is not None:
        _output_trades(step_id, sink, *trades)


@operator
def _output(
    step_id: str,  # noqa: ARG001 - the engine's decorator takes it
    sink: Sink[X],
    *streams: Stream[X],
) -> None:
    op.output("sink", merged(streams), sink)


@operator
def _output_packed(
    step_id: str,  # noqa: ARG001 - the engine's decorator takes it
    key: str,
    sink: Sink[tuple[str, list[X]]],
    *streams: Stream[X],
) -> None:
    packed: KeyedStream[list[X]] = op.flat_map_batch("packed", merged(streams), partial(pack, key))
    op.output("sink", packed, sink)


@operator
def _broadcast(
    step_id: str,  # noqa: ARG001 - the engine's decorator takes it
    owners: list[str],
    sink: Sink[tuple[str, list[Publishable]]],
    *streams: Stream[Publishable],
) -> None:
    """`owners` are the venues of the streams."""
    packed: list[KeyedStream[list[Publishable]]] = []
    for number, venue in enumerate(dict.fromkeys(owners)):
        suffix = f"_{number}" if number else ""
        own = [stream for owner, stream in zip(owners, streams, strict=True) if owner == venue]
        items = own[0] if len(own) == 1 else op.merge(f"merged{suffix}", *own)
        packed.append(op.flat_map_batch(f"packed{suffix}", items, partial(pack_of, "hub", venue)))
    op.output("sink", packed[0] if len(packed) == 1 else op.merge("venues", *packed), sink)


@operator
def _output_trades(
    step_id: str,  # noqa: ARG001 - the engine's decorator takes it
    sink: Sink[tuple[str, list[TradeBatch]]],
    *trades: Stream[TradeBatch],
) -> None:
    op.output("sink", op.flat_map_batch("by_instrument", merged(trades), trades_by_instrument), sink)


def pack(key: str, items: list[X]) -> list[tuple[str, list[X]]]:
    """For a sink that is one for the whole deployment: everything has the same key, and is one item of the engine."""
    return [(key, items)] if items else []


def pack_of(key: str, venue: str, items: list[Publishable]) -> list[tuple[str, list[Publishable]]]:
    """As `pack`, for items that do not name their venue."""
    return [(key, VenueItems(venue, items))] if items else []


def trades_by_instrument(batches: list[TradeBatch]) -> list[tuple[str, list[TradeBatch]]]:
    """Trades under the key of their instrument, for the partitions of the store."""
    return [(Instrument(batch.venue, batch.symbol).key, [batch]) for batch in batches]
