import pytest

from sources.replay.faults.content_faults import BadBytes, Foreign, OddFrame, WrongId, WrongTime, WrongValue
from sources.replay.faults.orders import AnyFault, decode_fault


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b'{"fault":"wrong_time","by_ms":-5}', WrongTime(by_ms=-5)),
        (
            b'{"fault":"wrong_id","fields":["U","u"],"by":-9007199254740992,"insert":true}',
            WrongId(fields=("U", "u"), by=-(2**53), insert=True),
        ),
        (b'{"fault":"wrong_value","field":"k.h","times":"-1"}', WrongValue(field="k.h", times="-1")),
        (b'{"fault":"bad_bytes","where":"begin","hex":"efbbbf"}', BadBytes(where="begin", hex="efbbbf")),
        (b'{"fault":"odd_frame","form":"text","text":"0"}', OddFrame(form="text", text="0")),
        (
            b'{"fault":"foreign","symbol":"<img src=x onerror=alert(1)>"}',
            Foreign(symbol="<img src=x onerror=alert(1)>"),
        ),
    ],
)
def test_what_a_fault_looks_like(body: bytes, fault: AnyFault) -> None:
    assert decode_fault(body) == fault


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"fault":"wrong_value","field":"p"}', "name exactly one of text, json, times"),
        (b'{"fault":"wrong_value","field":"p","text":"1","json":"1"}', "name exactly one of"),
        (b'{"fault":"wrong_value","field":"p","times":"two"}', "times is no decimal: two"),
        (b'{"fault":"wrong_id","fields":[],"by":1}', "length >= 1"),
        (b'{"fault":"bad_bytes","hex":"f"}', "matching regex"),
        (b'{"fault":"foreign","symbol":"X","insert":true}', "leave insert out"),
        (b'{"fault":"foreign","symbol":"X","messages":1000000}', "<= 100000"),
        (b'{"fault":"huge","megabytes":1000}', "<= 48"),
        (b'{"fault":"odd_frame","form":"text"}', 'text goes with form "text"'),
        (b'{"fault":"nested","levels":100000000}', "<= 4000000"),
        (b'{"fault":"nested","form":"envelopes","levels":4000000}', "makes 88,000,000 bytes at once"),
        (b'{"fault":"wrong_id","fields":["a"],"by":9223372036854775808}', "<= 9223372036854775807"),
        (b'{"fault":"wrong_value","field":"p","text":"%b"}' % (b"x" * 70_000), "length <= 65536"),
        (b'{"fault":"wrong_value","field":"p","times":"%b"}' % (b"9" * 200), "length <= 100"),
        (b'{"fault":"bad_bytes","hex":"%b"}' % (b"ff" * 70_000), "length <= 131072"),
        (b'{"fault":"gap","stream":"%b"}' % (b"*a" * 200), "length <= 200"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_fault(body)
