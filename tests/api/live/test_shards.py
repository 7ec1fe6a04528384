"""What an interface shows of the leases in the bucket."""

import msgspec

from api.live.shards import ShardBoard, SharingFlow
from flows.clock import wall_ms
from flows.settings import Bus
from sinks.bus.leases import Entry, Lease, Member, member_key, shard_key


def entry(key: str, value: object, revision: int, *, ago_ms: int = 0) -> Entry:
    return Entry(key, msgspec.json.encode(value), revision, wall_ms() - ago_ms)


def board(shards: int = 2) -> ShardBoard:
    found = ShardBoard(Bus(url=("nats://127.0.0.1:1",), shards=shards))
    found._is_read = True
    return found


def owners(of: ShardBoard) -> list[tuple[str, str | None, int]]:
    return [(one.shard, one.owner, one.epoch) for one in of.owners()]


def test_every_shard_is_listed_with_its_owner() -> None:
    found = board()
    assert owners(found) == [("1of2", None, 0), ("2of2", None, 0)]
    found.take(entry(shard_key("2of2"), Lease(3, "host-a", "i", 77), 1))
    assert owners(found) == [("1of2", None, 0), ("2of2", "host-a", 3)]
    assert found.owners()[1].since_ms == 77


def test_a_lease_that_is_given_up_or_not_renewed_has_no_owner() -> None:
    found = board()
    found.take(entry(shard_key("1of2"), Lease(4), 1))
    found.take(entry(shard_key("2of2"), Lease(3, "host-a", "i", 77), 2, ago_ms=60_000))
    assert owners(found) == [("1of2", None, 4), ("2of2", None, 3)]
    found.take(entry(shard_key("2of2"), Lease(3, "host-a", "i", 77), 3, ago_ms=60_000))  # it was renewed now
    assert owners(found) == [("1of2", None, 4), ("2of2", "host-a", 3)]


def test_while_the_bus_is_away_nothing_is_known_to_be_over() -> None:
    found = board()
    found.take(entry(shard_key("2of2"), Lease(3, "host-a", "i", 77), 2, ago_ms=60_000))
    found._is_read = False
    assert owners(found) == [("1of2", None, 0), ("2of2", "host-a", 3)]


def test_flows_that_were_seen_at_of_lately_are_listed_by_name() -> None:
    found = board()
    found.take(entry(member_key("b.example"), Member("i", 2, "http://b:8080"), 1))
    found.take(entry(member_key("a"), Member("j", 0), 2, ago_ms=1_000))
    found.take(entry(member_key("old"), Member("k", 1), 3, ago_ms=3_600_000))
    found.take(entry(member_key("none"), "no member", 4))
    assert [(one.name, one.url, one.room) for one in found.flows()] == [("a", "", 0), ("b.example", "http://b:8080", 2)]
    assert isinstance(found.flows()[0], SharingFlow)
