"""What is wrong with a value that does not decode, with what may be written instead."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec
from msgspec import inspect

_WORD: Final = re.compile(r"Invalid (?:enum )?value (?P<value>.*?)(?: - at `(?P<path>.*)`)?", re.DOTALL)
_FIELD: Final = re.compile(r"Object contains unknown field `(?P<value>.*?)`(?: - at `(?P<path>.*)`)?", re.DOTALL)
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[[^\]]*\]")
_MOST: Final = 60
"""Most names that a sentence lists."""


def refusal_of(error: Exception, kind: Any, given: object = None) -> str:
    """The text of an error of `msgspec` about a value of a type, with the allowed words where one of them was
    expected, or the known fields in the place of an unknown one. `given` is the value as plain data: of a union of
    objects it tells which one is meant.
    """
    text = str(error)
    for form, names_of in ((_WORD, _words), (_FIELD, _fields)):
        if found := form.fullmatch(text):
            names = list(dict.fromkeys(names_of(_at(kind, found["path"] or "$", given))))
            return f"{text}: write {_either(names)}" if names else text
    return text


def refusal_in(body: bytes, error: Exception, kind: Any) -> str:
    """`refusal_of` an error about a JSON text."""
    given = None
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # what lies behind the error may be none
        given = msgspec.json.decode(body)
    return refusal_of(error, kind, given)


def _either(names: list[str]) -> str:
    *first, last = [*names[:_MOST], *(["another one"] if len(names) > _MOST else [])]
    return f"{', '.join(first)} or {last}" if first else last


def _words(kinds: Iterable[inspect.Type]) -> Iterator[str]:
    for kind in kinds:
        if isinstance(kind, inspect.LiteralType):
            yield from map(str, kind.values)
        elif isinstance(kind, inspect.EnumType):
            yield from (str(member.value) for member in kind.cls)
        elif isinstance(kind, _Tag):
            yield kind.tag


def _fields(kinds: Iterable[inspect.Type]) -> Iterator[str]:
    for kind in kinds:
        if isinstance(kind, inspect.StructType):
            yield from (field.encode_name for field in kind.fields)


class _Tag(inspect.Type):
    """The value of the field by which the kinds of a union differ."""

    tag: str


def _at(kind: Any, path: str, given: object) -> list[inspect.Type]:
    """The types that may stand at a path, as `$.rules[0].kind`."""
    places = list(_branches(inspect.type_info(kind)))
    for step in _STEP.finditer(path):
        name = step[1]
        places = [branch for place in _meant(places, given, name) for branch in _below(place, name)]
        given = given.get(name) if isinstance(given, Mapping) and name else None
    return _meant(places, given, None)


def _meant(places: list[inspect.Type], given: object, name: str | None) -> list[inspect.Type]:
    """Those of the objects of a union whose tag the value has; all where the tag itself is wanted, or is unknown."""
    if not isinstance(given, Mapping):
        return places
    found: list[inspect.Type] = [
        place
        for place in places
        if isinstance(place, inspect.StructType) and place.tag_field != name and given.get(place.tag_field) == place.tag
    ]
    return found or places


def _below(place: inspect.Type, name: str | None) -> Iterator[inspect.Type]:
    if isinstance(place, inspect.StructType) and name:
        if name == place.tag_field:
            yield _Tag(str(place.tag))
        for field in place.fields:
            if field.encode_name == name:
                yield from _branches(field.type)
    elif isinstance(place, inspect.DictType):
        yield from _branches(place.value_type)
    elif isinstance(place, inspect.TupleType):
        for item in place.item_types:
            yield from _branches(item)
    elif isinstance(place, inspect.ListType | inspect.VarTupleType | inspect.SetType | inspect.FrozenSetType):
        yield from _branches(place.item_type)


def _branches(kind: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(kind, inspect.Metadata):
        yield from _branches(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for one in kind.types:
            yield from _branches(one)
    else:
        yield kind
