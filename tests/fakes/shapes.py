"""The shape of a JSON value: its names and the types of what they hold, to compare messages with recorded ones."""

import json
from decimal import Decimal
from typing import Any


def parse(text: str | bytes) -> Any:
    """A JSON text with every number that has a fraction as the decimal it is printed as."""
    return json.loads(text, parse_float=Decimal)


def shape(value: Any) -> Any:
    """Objects as their names with shapes, lists as the shapes that occur in them, everything else as its type."""
    match value:
        case dict():
            return {name: shape(one) for name, one in value.items()}
        case list():
            shapes = [shape(one) for one in value]
            return [one for place, one in enumerate(shapes) if one not in shapes[:place]]
        case Decimal():
            return "fraction"
    return type(value).__name__


def fits(sent: Any, recorded: Any) -> bool:
    """Whether a value has the shape of a recorded one; a list that is empty in either fits any other."""
    match sent, recorded:
        case dict(), dict():
            return sent.keys() == recorded.keys() and all(fits(sent[name], recorded[name]) for name in sent)
        case list(), list():
            known = [shape(one) for one in recorded]
            return not recorded or all(any(fits_shape(shape(one), each) for each in known) for one in sent)
    return bool(shape(sent) == shape(recorded))


def fits_shape(sent: Any, known: Any) -> bool:
    """The same of two shapes."""
    match sent, known:
        case dict(), dict():
            return sent.keys() == known.keys() and all(fits_shape(sent[name], known[name]) for name in sent)
        case list(), list():
            return not known or not sent or all(any(fits_shape(one, each) for each in known) for one in sent)
    return bool(sent == known)


def decimals(number: Decimal) -> int:
    """How many decimals a number is printed with."""
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return -exponent
