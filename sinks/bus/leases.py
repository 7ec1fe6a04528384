"""Leases of shards: who owns which part of the symbols, as they stand in a bucket of keys and values of the bus.

    shard.2of4   the lease of a shard: owner, epoch
    flow.host-a  a flow that takes shards, whether it has some or none

Every entry is renewed by a write that names the revision before it, so of two writers one fails. Each new owner of a
shard has the next epoch. It is the fence too: the owner of an epoch publishes it to the stream before anything else,
and an owner that finds a later one there has been replaced.
"""

from typing import Final

import msgspec
from msgspec import Struct

from sinks.bus.subjects import MARKET, NONE, token

BUCKET_OF: Final = "{stream}-shards"
FENCE: Final = "Fence"
"""Channel of the messages that name the epoch of a shard."""
_SHARD: Final = "shard."
_FLOW: Final = "flow."


class Lease(Struct, frozen=True):
    """Who owns a shard."""

    epoch: int
    owner: str = ""
    """Name of the flow; empty when the last one has given it up."""
    instance: str = ""
    """Its process: one that was started anew is another owner."""
    since_ms: int = 0
    """When this epoch began, ms UTC, by the owner's clock."""


class Member(Struct, frozen=True):
    """A flow that takes shards."""

    instance: str
    room: int
    """Most shards that it takes."""
    url: str = ""
    """Where the interface beside it answers; empty where there is none that others may query."""


class Entry(Struct, frozen=True):
    """What stands under a key."""

    key: str
    body: bytes
    revision: int
    """Number of the write; 0: the key is not there."""
    stamp_ms: int = 0
    """When the servers took it, ms UTC."""


def bucket_of(stream: str) -> str:
    """The name of the bucket's stream."""
    return f"KV_{BUCKET_OF.format(stream=stream)}"


def subject_of_key(stream: str, key: str) -> str:
    """The subject of a key; of all with `>`."""
    return f"$KV.{BUCKET_OF.format(stream=stream)}.{key}"


def key_of_subject(stream: str, subject: str) -> str:
    """The key of a subject."""
    return subject.removeprefix(subject_of_key(stream, ""))


def shard_key(shard: str) -> str:
    """The key of a shard's lease."""
    return f"{_SHARD}{shard}"


def member_key(name: str) -> str:
    """The key of a flow."""
    return f"{_FLOW}{token(name)}"


def shard_of_key(key: str) -> str:
    """The shard of a lease's key; empty for another key."""
    return key.removeprefix(_SHARD) if key.startswith(_SHARD) else ""


def member_of_key(key: str) -> str:
    """The token of the flow's name in its key; empty for another key."""
    return key.removeprefix(_FLOW) if key.startswith(_FLOW) else ""


def shard_names(count: int) -> list[str]:
    """The shards, as in `2of4`."""
    return [f"{number}of{count}" for number in range(1, count + 1)]


def fence_subject(shard: str) -> str:
    """Where the epoch of a shard is published; of all shards with `>`."""
    return f"{MARKET}.{NONE}.{NONE}.{FENCE}.{shard}"


def lease_of(body: bytes) -> Lease | None:
    """A lease; None where the value is none."""
    try:
        return msgspec.json.decode(body, type=Lease)
    except msgspec.DecodeError:
        return None


def member_of(body: bytes) -> Member | None:
    """A flow; None where the value is none."""
    try:
        return msgspec.json.decode(body, type=Member)
    except msgspec.DecodeError:
        return None


def epoch_of(body: bytes) -> int:
    """The epoch in a message of a fence; 0 where there is none."""
    try:
        return msgspec.json.decode(body, type=Lease).epoch
    except msgspec.DecodeError:
        return 0
