"""What a process waits for before its first start."""

from typing import NamedTuple

from flows.settings.ports import Listener
from flows.supervision.needs import NEEDED_S, Needs
from flows.supervision.spec import ProcessSpec

EXCHANGE = ProcessSpec("exchange", ("x",), listens=(Listener("replay.port", "127.0.0.1", 9443),))
MONGOD = ProcessSpec("mongod", ("x",), listens=(Listener("mongo.uri", "127.0.0.1", 27017),))
ANY_PORT = ProcessSpec("any", ("x",), listens=(Listener("any.port", "127.0.0.1", 0),))


class Due(NamedTuple):
    name: str
    waits_for: tuple[str, ...] = ()


def needs(listening: set[int], said: list[str]) -> Needs:
    def listens(host: str, port: int) -> bool:
        assert host == "127.0.0.1"
        return port in listening

    return Needs((EXCHANGE, MONGOD, ANY_PORT), say=said.append, listens=listens)


def test_it_starts_when_everything_that_it_needs_listens() -> None:
    listening: set[int] = set()
    said: list[str] = []
    of, flow = needs(listening, said), Due("flow", ("exchange", "mongod"))
    assert of.are_met(Due("api"), 0.0)
    assert of.are_met(Due("api", ("any", "unknown")), 0.0)
    assert not of.are_met(flow, 0.0)
    listening.add(9443)
    assert not of.are_met(flow, 1.0)
    listening.add(27017)
    assert of.are_met(flow, 2.0)
    assert said == ["flow waits for exchange and mongod"]


def test_it_waits_for_a_time_and_not_for_ever() -> None:
    said: list[str] = []
    of, flow = needs({9443}, said), Due("flow", ("exchange", "mongod"))
    assert not of.are_met(flow, 100.0)
    assert not of.are_met(flow, 100.0 + NEEDED_S - 0.1)
    assert of.are_met(flow, 100.0 + NEEDED_S)
    assert said == ["flow waits for mongod", "flow does not wait any longer for mongod"]
