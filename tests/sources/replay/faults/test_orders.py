import pytest

from sources.replay.faults.orders import (
    FAULTS,
    AnyFault,
    ClockSkew,
    Drop,
    Gap,
    Late,
    Refuse,
    StaleDepth,
    decode_fault,
    describe,
)
from sources.replay.faults.spec import Fault


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b'{"fault":"drop"}', Drop()),
        (b'{"fault":"drop","client":3,"close_code":1001}', Drop(client=3, close_code=1001)),
        (
            b'{"fault":"gap","stream":"btcusdt@trade","count":5,"after":2}',
            Gap(stream="btcusdt@trade", count=5, after=2),
        ),
        (b'{"fault":"late","hold_ms":500}', Late(hold_ms=500)),
        (b'{"fault":"clock_skew","by_ms":-1270}', ClockSkew(by_ms=-1270)),
        (b'{"fault":"refuse","status":429,"path":"/api/v3/depth"}', Refuse(status=429, path="/api/v3/depth")),
        (b'{"fault":"stale_depth","symbol":"BTCUSDT"}', StaleDepth(symbol="BTCUSDT")),
    ],
)
def test_what_a_fault_looks_like(body: bytes, fault: AnyFault) -> None:
    assert decode_fault(body) == fault


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "truncated"),
        (b"{}", "missing required field `fault`"),
        (b'{"fault":"flood"}', "faults are drop, half_open, shutdown, send, silence, gap"),
        (b'{"fault":"gap","count":0}', "`int` >= 1 - at `\\$.count`"),
        (b'{"fault":"gap","strean":"x"}', "unknown field `strean`"),
        (b'{"fault":"late"}', "name either hold_messages or hold_ms"),
        (b'{"fault":"late","hold_ms":5,"hold_messages":5}', "name either hold_messages or hold_ms"),
        (b'{"fault":"refuse","status":404}', "Invalid enum value 404"),
    ],
)
def test_a_bad_fault_is_told_why(body: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_fault(body)


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.__name__)
def test_the_example_of_a_fault_is_an_order_of_it(kind: type[Fault]) -> None:
    described = describe(kind)
    assert type(decode_fault(described.example.encode())) is kind
    assert described.summary.endswith(".")


def test_an_order_that_is_nested_deeply_is_refused() -> None:
    with pytest.raises(ValueError, match="faults are drop"):
        decode_fault(b'{"fault":"gap","stream":' + b"[" * 100_000)
