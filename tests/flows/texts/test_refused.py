from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from flows.texts import refusal_of


class Side(Enum):
    BUY = "buy"
    SELL = "sell"


class Cut(Struct, tag="cut", tag_field="fault", forbid_unknown_fields=True):
    mode: Annotated[Literal["one", "all"], Meta(description="which")] | None = None
    levels: tuple[Literal[5, 10, 20], ...] = ()


class Slow(Struct, tag="slow", tag_field="fault", forbid_unknown_fields=True, rename={"for_s": "for"}):
    mode: Literal["later", "never"] = "later"
    for_s: float = 0
    side: Side = Side.BUY
    inner: Cut | None = None


@pytest.mark.parametrize(
    ("text", "kind", "end"),
    [
        ('{"fault": "cold"}', Cut | Slow, "at `$.fault`: write cut or slow"),
        ('{"fault": "cut", "mode": "x"}', Cut | Slow, "'x' - at `$.mode`: write all or one"),
        ('{"mode": "x", "fault": "slow"}', Cut | Slow, "'x' - at `$.mode`: write later or never"),
        ('{"fault": "cut", "levels": [5, 7]}', Cut, "7 - at `$.levels[1]`: write 5, 10 or 20"),
        ('{"fault": "slow", "side": "b"}', Slow, "at `$.side`: write buy or sell"),
        ('{"fault": "slow", "inner": {"fault": "cut", "mode": "x"}}', Slow, "at `$.inner.mode`: write all or one"),
        ('{"fault": "slow", "to": 1}', Cut | Slow, "unknown field `to`: write mode, for, side or inner"),
        ('{"a": "x"}', dict[str, Literal["p"]], "at `$[...]`: write p"),
        ('"x"', Literal["p", "q"], "Invalid enum value 'x': write p or q"),
        ('{"fault": "slow", "for": "x"}', Slow, "Expected `float`, got `str` - at `$.for`"),
        ('{"fault": ', Cut, "Input data was truncated"),
    ],
)
def test_a_refused_value_is_said_with_what_may_stand_there(text: str, kind: Any, end: str) -> None:
    with pytest.raises(msgspec.DecodeError) as refused:
        msgspec.json.decode(text, type=kind)
    given = msgspec.json.decode(text) if isinstance(refused.value, msgspec.ValidationError) else None
    assert refusal_of(refused.value, kind, given).endswith(end)
