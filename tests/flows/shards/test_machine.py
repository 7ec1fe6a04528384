"""The laws of leases: several flows on one bucket, with deaths, halts, lost connections and late news."""

import random
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.shards.machine import PATIENCE, REFUSED, STEADY, GiveUp, Lost, Shards, Taken
from sinks.bus.leases import Entry, lease_of, member_of, shard_key, shard_names, shard_of_key
from tests.fakes.examples import examples

TTL: Final = 4_000
BEAT: Final = 1_000
STEP: Final = 250


class Bucket:
    """What the servers hold: a write names the revision before it."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.revision = 0
        self.history: list[Entry] = []
        self.is_away = False
        """The servers choose a leader: they take nothing."""
        self.signs: list[tuple[str, bytes]] = []
        """What was written, taken or not, as all hear it."""

    def put(self, key: str, body: bytes, revision: int, now: int) -> int | None:
        known = self.entries.get(key)
        if (known.revision if known else 0) != revision:
            return None
        self.revision += 1
        self.entries[key] = Entry(key, body, self.revision, now)
        self.history.append(self.entries[key])
        return self.revision


class Flow:
    """One flow with a connection, that may be halted; its process of a shard ends at once."""

    def __init__(self, bucket: Bucket, name: str, instance: str, *, count: int, room: int) -> None:
        self.bucket, self.name, self.instance = bucket, name, instance
        self.shards = Shards(name, instance, count=count, room=room, ttl_ms=TTL, beat_ms=BEAT)
        self.read = -1
        """Revisions that were read; -1: not connected."""
        self.is_known = False
        """The bucket was read once."""
        self.heard = len(bucket.signs)
        """Signs that have come."""
        self.running: dict[str, int] = {}
        self.is_halted = self.is_cut = self.is_dead = False
        self.is_slow = self.is_deaf = False

    def step(self, now: int) -> None:
        if self.is_cut and not self.is_halted:
            self.read = -1
        if not (self.is_dead or self.is_halted or self.is_cut):
            self._hear(now)
            self._write(now)

    def _hear(self, now: int) -> None:
        if self.read < 0:
            self.read = 0
            if self.is_known and not self.is_deaf:
                self.shards.on_reconnected(now)
            else:
                self.shards.on_connected(self.bucket.entries.values(), {}, now)
            self.is_known, self.heard = True, len(self.bucket.signs)
        for key, body in self.bucket.signs[self.heard :] if not self.is_deaf else ():
            self.shards.on_sign(key, body, now)
        self.heard = len(self.bucket.signs)
        if not self.is_slow:
            for entry in self.bucket.history:
                if entry.revision > self.read:
                    self.shards.on_entry(entry, now)
            self.read = self.bucket.revision
        self._follow()

    def _write(self, now: int) -> None:
        for _ in range(50):
            writes = self.shards.due(now)
            self.bucket.signs += [(write.key, write.body) for write in writes]
            if not writes or self.bucket.is_away:
                break
            for write in writes:
                self.shards.on_written(write, self.bucket.put(write.key, write.body, write.revision, now), now)
            self._follow()
        else:
            raise AssertionError("it writes without an end")

    def _follow(self) -> None:
        for change in self.shards.take_changes():
            match change:
                case Taken(shard, epoch, before, _):
                    assert epoch == before + 1
                    self.running[shard] = epoch
                case GiveUp(shard):
                    self.shards.on_ended(shard)
                case Lost(shard):
                    del self.running[shard]
        ended = [shard for shard in self.running if shard not in self.shards.owned]
        for shard in ended:  # given up
            del self.running[shard]
        assert self.running == self.shards.owned


def owners(bucket: Bucket) -> dict[str, str]:
    found = {}
    for key, entry in bucket.entries.items():
        lease = lease_of(entry.body) if shard_of_key(key) else None
        if lease:
            found[shard_of_key(key)] = lease.instance
    return found


def played(flows: list[Flow], begin: int, until: int) -> int:
    for now in range(begin, until, STEP):
        for flow in flows:
            flow.step(now)
    return until


ACTS = st.sampled_from(["none", "none", "die", "halt", "cut", "slow", "deaf", "elect", "mend", "mend", "join", "leave"])
STATES: Final = {"die": "is_dead", "halt": "is_halted", "cut": "is_cut", "slow": "is_slow", "deaf": "is_deaf"}


def done(act: str, flow: Flow) -> None:
    if act in STATES:
        setattr(flow, STATES[act], True)
    elif act == "leave":
        flow.shards.release_all()
    elif act == "mend":
        flow.is_halted = flow.is_cut = flow.is_slow = flow.is_deaf = flow.bucket.is_away = False
    elif act == "elect":
        flow.bucket.is_away = True


def check_epochs(bucket: Bucket) -> None:
    """Each has one owner; they rise by one, and never go back."""
    epochs: dict[str, dict[int, str]] = {}
    for entry in bucket.history:
        lease, shard = lease_of(entry.body), shard_of_key(entry.key)
        if shard and lease and lease.owner:
            known = epochs.setdefault(shard, {})
            assert known.setdefault(lease.epoch, lease.instance) == lease.instance
            assert lease.epoch == max(known)
    for known in epochs.values():
        assert list(known) == [*range(1, len(known) + 1)]


def running(flows: list[Flow]) -> dict[str, str]:
    return {shard: flow.instance for flow in flows for shard in flow.running}


@settings(max_examples=examples(60), deadline=None)
@given(
    count=st.integers(1, 6), first=st.integers(1, 3), acts=st.lists(st.tuples(ACTS, st.integers(0, 9)), max_size=60),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_an_epoch_has_one_owner_and_in_the_end_every_shard_has_one(
    count: int, first: int, acts: list[tuple[str, int]], seed: int
) -> None:
    chance, bucket, now = random.Random(seed), Bucket(), 0
    flows = [Flow(bucket, f"f{n}", f"i{n}", count=count, room=count) for n in range(first)]
    for act, number in acts:
        done(act, flows[number % len(flows)])
        if act == "join":
            flows.append(Flow(bucket, f"f{len(flows)}", f"i{len(flows)}", count=count, room=count))
        now = played(chance.sample(flows, len(flows)), now, now + chance.choice((STEP, BEAT, 3 * BEAT)))
    check_epochs(bucket)

    for flow in flows:
        done("mend", flow)
    flows.append(Flow(bucket, "last", "last", count=count, room=count))
    now = played(flows, now, now + 4 * TTL + (REFUSED + count * (STEADY + 4)) * BEAT)
    check_epochs(bucket)
    alive = [flow for flow in flows if not flow.is_dead]
    found = running(alive)
    assert found == owners(bucket)
    assert sorted(found) == sorted(shard_names(count))
    assert sum(len(flow.running) for flow in alive) == count
    held = [len(flow.running) for flow in alive if flow.shards._room]
    assert max(held) - min(held) <= 1
    played(flows, now, now + 2 * (REFUSED + STEADY) * BEAT)  # and so it stays
    assert running(alive) == found


@pytest.mark.parametrize("survivors", [1, 2, 3])
def test_the_shards_of_one_that_is_lost_have_another_owner_in_time(survivors: int) -> None:
    bucket = Bucket()
    flows = [Flow(bucket, f"f{n}", f"i{n}", count=4, room=4) for n in range(survivors + 1)]
    now = played(flows, 0, (STEADY + 20) * BEAT)
    lost = flows[-1]
    assert lost.running
    lost.is_halted = True
    bound = TTL + (PATIENCE + 1) * BEAT
    now = played(flows, now, now + bound + STEP)
    assert lost.instance not in owners(bucket).values()
    assert len({*shard_names(4)} - {shard for flow in flows[:-1] for shard in flow.running}) == 0

    lost.is_halted = False  # it goes on, and learns at once that it was replaced
    lost.step(now)
    assert lost.running == {}


def test_an_outage_of_the_bus_takes_no_shard() -> None:
    bucket = Bucket()
    flows = [Flow(bucket, f"f{n}", f"i{n}", count=3, room=3) for n in range(2)]
    now = played(flows, 0, (STEADY + 10) * BEAT)
    before = [dict(flow.running) for flow in flows]
    for flow in flows:
        flow.is_cut = True
    now = played(flows, now, now + 10 * TTL)
    assert [flow.running for flow in flows] == before  # they go on
    flows[0].is_cut = False
    now = played(flows, now, now + 2 * BEAT)
    flows[1].is_cut = False
    played(flows, now, now + 2 * TTL)
    assert [flow.running for flow in flows] == before


def lost_with_the_leader(*, is_deaf: bool) -> tuple[Bucket, list[Flow], Flow, int]:
    """A flow ends, and the servers have no leader for longer than a lease."""
    bucket = Bucket()
    flows = [Flow(bucket, f"f{n}", f"i{n}", count=3, room=3) for n in range(3)]
    for flow in flows:
        flow.is_deaf = is_deaf
    now = played(flows, 0, (STEADY + 20) * BEAT)
    lost = flows.pop()
    lost.is_dead = bucket.is_away = True
    now = played(flows, now, now + TTL + BEAT)
    assert lost.instance in owners(bucket).values()
    bucket.is_away = False
    return bucket, flows, lost, now


def test_who_is_lost_with_the_leader_has_another_owner_as_soon_as_there_is_one_again() -> None:
    bucket, flows, lost, now = lost_with_the_leader(is_deaf=False)
    before = {shard: flow.instance for flow in flows for shard in flow.running}
    played(flows, now, now + BEAT)
    assert lost.instance not in owners(bucket).values()
    assert before.items() <= running(flows).items()  # and no other shard has


def test_who_hears_no_one_waits_for_the_time_of_a_lease_behind_an_outage() -> None:
    bucket, flows, lost, now = lost_with_the_leader(is_deaf=True)
    before = {shard: flow.instance for flow in flows for shard in flow.running}
    now = played(flows, now, now + TTL)
    assert lost.instance in owners(bucket).values()
    played(flows, now, now + (PATIENCE + 1) * BEAT)
    assert lost.instance not in owners(bucket).values()
    assert before.items() <= running(flows).items()


def test_a_short_cut_takes_no_shard_of_who_goes_on() -> None:
    bucket = Bucket()
    flows = [Flow(bucket, f"f{n}", f"i{n}", count=2, room=2) for n in range(2)]
    now = played(flows, 0, (STEADY + 10) * BEAT)
    before = running(flows)
    for flow in flows:
        flow.is_cut = True
    now = played(flows, now, now + TTL - STEP)
    flows[0].is_cut = False
    now = played(flows, now, now + TTL // 2 - STEP)
    flows[1].is_cut = False
    played(flows, now, now + 2 * TTL)
    assert running(flows) == before


def test_who_ends_gives_its_shards_up_at_once() -> None:
    bucket = Bucket()
    flows = [Flow(bucket, f"f{n}", f"i{n}", count=2, room=2) for n in range(2)]
    now = played(flows, 0, (STEADY + 10) * BEAT)
    flows[0].shards.release_all()
    played(flows, now, now + 2 * STEP)
    assert flows[0].shards.is_over
    assert sorted(flows[1].running) == shard_names(2)


def test_a_shard_that_cannot_be_run_is_left_to_others() -> None:
    bucket = Bucket()
    flows = [Flow(bucket, f"f{n}", f"i{n}", count=1, room=1) for n in range(2)]
    now = played(flows, 0, 5 * BEAT)
    one, other = sorted(flows, key=lambda flow: not flow.running)
    one.shards.refuse("1of1", now)
    played(flows, now, now + (PATIENCE + 2) * BEAT)
    assert (one.running, list(other.running)) == ({}, ["1of1"])


def test_a_second_process_of_the_same_name_takes_nothing() -> None:
    bucket = Bucket()
    one, other = (Flow(bucket, "same", instance, count=2, room=2) for instance in ("a", "b"))
    now = played([one], 0, 5 * BEAT)
    now = played([one, other], now, now + 3 * TTL)
    assert other.shards.name_is_taken(now)
    assert (sorted(one.running), other.running) == (shard_names(2), {})
    one.is_dead = True
    played([other], now, now + 3 * TTL)
    assert sorted(other.running) == shard_names(2)


def test_after_a_bucket_was_lost_epochs_go_on_behind_those_in_the_stream() -> None:
    shards = Shards("f", "i", count=1, room=1, ttl_ms=TTL, beat_ms=BEAT)
    bucket, now = Bucket(), 0
    shards.on_connected((), {"1of1": 7}, now)
    for now in range(0, 5 * BEAT, STEP):
        for write in shards.due(now):
            shards.on_written(write, bucket.put(write.key, write.body, write.revision, now), now)
    assert shards.owned == {"1of1": 8}


def test_a_take_without_an_answer_is_found_when_the_bucket_is_read_again() -> None:
    shards, bucket = Shards("f", "i", count=1, room=1, ttl_ms=TTL, beat_ms=BEAT), Bucket()
    shards.on_connected((), {}, 0)
    taken = False
    for now in range(0, 5 * BEAT, STEP):
        for write in shards.due(now):
            revision = bucket.put(write.key, write.body, write.revision, now)
            if write.shard and not taken:
                taken = True
                shards.on_connected(bucket.entries.values(), {}, now)
            else:
                shards.on_written(write, revision, now)
    assert shards.owned == {"1of1": 1}
    assert [type(one) for one in shards.take_changes()] == [Taken]


def test_what_is_no_lease_is_none() -> None:
    assert lease_of(b"{") is None
    assert member_of(b'{"room": "x"}') is None
    assert shard_of_key(shard_key("1of2")) == "1of2"
    assert shard_of_key("flow.x") == ""
