"""Captured frames, changed at random and yet the same each time: the seed and the frame decide alone.

Bytes are flipped, lost, added, repeated, mixed with those of another frame; values of a JSON text become other types,
numbers that no price is, times of another year, other symbols, deep nests; keys come twice or in another order.
"""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

MOST_FRAME_BYTES = 1 << 20
"""A longer frame is cut: what one costs grows with its size, whatever it says."""
YEAR_3000_MS = 32_503_680_000_000
EXTREMES = (
    "0", "-0", "-1", "1", "1e400", "-1e400", "1e-400", "1e300", "NaN", "Infinity", "-Infinity", "0.1", "-0.00000001",
    str(2**31), str(2**53), str(2**53 + 1), str(2**63 - 1), str(2**63), str(2**64), str(10**30), str(-(2**63)),
    "9" * 50, "9" * 5_000, "1" + "0" * 11, "0x10", "1_000", " 1", "", "1,5", "٣",
)  # fmt: skip
SYMBOLS = (
    "", "X", "ETHUSDT", "btcusdt", "X17USDT", "<img src=x onerror=alert(1)>", "../../x", "BTC/USDT", "BTC USDT", "a\nb",
    "BTCUSDT\x00", "比特币USDT", "\ud800", "A" * 10_000, "binance:BTCUSDT", "{}",
)  # fmt: skip
SHIFTS_MS = (
    -1, 1, 500, -1_000, 1_000, 5_001, -6_000, 60_000, -60_000, 3_600_000, 86_400_000, -86_400_000, 400 * 86_400_000,
    -400 * 86_400_000, 10**15, -(10**15), 2**63,
)  # fmt: skip
_ID_SHIFTS = (-1, 1, 2, 10, -10, 1_000, 10**6, -(10**6), 10**9, 2**53, -(2**53), 2**63)
_LARGE = 10_000
_LEVELS = (2, 100, 1_500, 20_000, 100_000)
_REPEATS = (2, 50, 3_000)
_TIMES = frozenset(("E", "T", "t", "O", "C", "time", "serverTime"))
_IDS = frozenset(("a", "f", "l", "t", "U", "u", "pu", "lastUpdateId", "L", "F", "n", "id"))
_NAMES = frozenset(("s", "symbol", "stream"))
_MARK = "\x01raw%d\x01"
_MOST_BYTES = 32
_DESCENT = 0.75
_KLINE_TIMES = (0, 6)


class Mutation(NamedTuple):
    """A frame that was changed, and how."""

    name: str
    frame: bytes


class _Text:
    """A JSON text under change. A value may be set to a text that is no JSON: a mark stands for it until the end."""

    def __init__(self, body: Any, chance: random.Random) -> None:
        self.body = body
        self.chance = chance
        self._raw: list[str] = []
        self.escapes = chance.random() < 0.1
        self.escaped_key = ""
        """A key whose letters are written as escapes."""

    def raw(self, text: str) -> str:
        """A mark for a text that is put there as it is."""
        self._raw.append(text)
        return _MARK % (len(self._raw) - 1)

    def place(self) -> tuple[Any, Any] | None:
        """A container and a key in it, somewhere; None in an empty body."""
        node = self.body
        while isinstance(node, dict | list) and node:
            key = self.chance.choice(list(node)) if isinstance(node, dict) else self.chance.randrange(len(node))
            child = node[key]
            if not (isinstance(child, dict | list) and child) or self.chance.random() > _DESCENT:
                return node, key
            node = child
        return None

    def places(self, names: frozenset[str], kind: type) -> list[tuple[Any, Any]]:
        """Where values of a type stand under one of these names."""
        found: list[tuple[Any, Any]] = []
        nodes = [self.body]
        while nodes:
            node = nodes.pop()
            items = node.items() if isinstance(node, dict) else enumerate(node)
            for key, value in items:
                if isinstance(value, dict | list):
                    nodes.append(value)
                elif key in names and isinstance(value, kind):
                    found.append((node, key))
        return found

    def encoded(self) -> bytes:
        """The text."""
        text = json.dumps(self.body, separators=(",", ":"), ensure_ascii=self.escapes)
        for number in reversed(range(len(self._raw))):  # a later one may hold an earlier one
            text = text.replace(json.dumps(_MARK % number), self._raw[number])
        if self.escaped_key:
            text = text.replace(f'"{self.escaped_key}":', f'"{_escaped(self.escaped_key)}":', 1)
        return text.encode("utf-8", "surrogatepass")


# --- bytes ------------------------------------------------------------------------------------------------------------


def _flip(frame: bytes, _: bytes, chance: random.Random) -> bytes:
    changed = bytearray(frame)
    for _place in range(chance.randint(1, 4)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _span(frame: bytes, chance: random.Random) -> tuple[int, int]:
    begin = chance.randrange(len(frame))
    return begin, min(len(frame), begin + chance.randint(1, _MOST_BYTES))


def _insert(frame: bytes, _: bytes, chance: random.Random) -> bytes:
    begin = chance.randrange(len(frame) + 1)
    return frame[:begin] + chance.randbytes(chance.randint(1, _MOST_BYTES)) + frame[begin:]


def _delete(frame: bytes, _: bytes, chance: random.Random) -> bytes:
    begin, end = _span(frame, chance)
    return frame[:begin] + frame[end:]


def _repeat(frame: bytes, _: bytes, chance: random.Random) -> bytes:
    begin, end = _span(frame, chance)
    return frame[:end] + frame[begin:end] * chance.choice(_REPEATS) + frame[end:]


def _splice(frame: bytes, other: bytes, chance: random.Random) -> bytes:
    return frame[: chance.randrange(len(frame) + 1)] + other[chance.randrange(len(other)) :]


def _truncate(frame: bytes, _: bytes, chance: random.Random) -> bytes:
    return frame[: chance.randrange(len(frame))]


def _bad_utf8(frame: bytes, _: bytes, chance: random.Random) -> bytes:
    wrong = chance.choice((b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\x00", b"\x1b["))
    quotes = [place for place, byte in enumerate(frame) if byte == ord('"')] or [0]
    begin = chance.choice(quotes) + chance.randrange(2)
    return frame[:begin] + wrong + frame[begin:]


def _around(frame: bytes, other: bytes, chance: random.Random) -> bytes:
    forms = (
        b"\xef\xbb\xbf" + frame, frame + b"\x00", frame + frame, frame + b"\n" + other, b"[" + frame + b"]", b"",
        b" " * 100_000 + frame, frame.decode("latin-1").encode("utf-16"),
    )  # fmt: skip
    return chance.choice(forms)


# --- JSON -------------------------------------------------------------------------------------------------------------


def _set(text: _Text, value: Any) -> None:
    found = text.place()
    if found:
        found[0][found[1]] = value


def _remove(text: _Text) -> None:
    found = text.place()
    if found:
        del found[0][found[1]]


def _type(text: _Text) -> None:
    _set(text, text.chance.choice((None, True, False, {}, [], [[]], "x", 1, 1.5, {"a": {"b": []}}, [None], "")))


def _number(text: _Text) -> None:
    extreme = text.chance.choice(EXTREMES)
    _set(text, text.raw(extreme) if text.chance.random() < 0.5 else extreme)


def _quotes(text: _Text) -> None:
    found = text.place()
    if found:
        node, key = found
        value = node[key]
        node[key] = text.raw(value) if isinstance(value, str) else json.dumps(value)


def _shift(text: _Text, places: list[tuple[Any, Any]], by: int) -> None:
    """Shifts one of them or all. Large shifts differ: many that agree would be a venue whose clock was set."""
    if abs(by) > _LARGE:
        by = by * text.chance.randrange(500, 1_500) // 1_000 + text.chance.randrange(-_LARGE, _LARGE)
    chosen = places if text.chance.random() < 0.5 else [text.chance.choice(places)]
    for node, key in chosen:
        node[key] += by


def _time(text: _Text) -> None:
    places = text.places(_TIMES, int)
    if not places and isinstance(text.body, list):  # rows of klines
        places = [
            (row, place) for row in text.body if isinstance(row, list) for place in _KLINE_TIMES if len(row) > place
        ]
    if not places:
        return
    if text.chance.random() < 0.3:
        node, key = text.chance.choice(places)
        node[key] = text.chance.choice((0, -1, YEAR_3000_MS, 10**12, 10**17 - 1, 1, node[key] * 1_000))
    else:
        _shift(text, places, text.chance.choice(SHIFTS_MS))


def _id(text: _Text) -> None:
    places = text.places(_IDS, int)
    if places:
        _shift(text, places, text.chance.choice(_ID_SHIFTS))


def _symbol(text: _Text) -> None:
    places = text.places(_NAMES, str)
    if not places:
        return
    symbol = text.chance.choice(SYMBOLS)
    for node, key in places if text.chance.random() < 0.3 else [text.chance.choice(places)]:
        node[key] = symbol.lower() + "@" + node[key].partition("@")[2] if key == "stream" else symbol


def _nest(text: _Text) -> None:
    levels = text.chance.choice(_LEVELS)
    begin, end = text.chance.choice((("[", "]"), ('{"a":', "}"), ('{"stream":"x","data":', "}")))
    value = text.raw(begin * levels + "1" + end * (levels if text.chance.random() < 0.7 else 0))
    if isinstance(text.body, dict) and text.chance.random() < 0.3:
        text.body = {"unknown": value, **text.body}
    else:
        _set(text, value)


def _twice(text: _Text) -> None:
    """A key comes twice, with its own value and with another."""
    found = text.place()
    if not found or not isinstance(found[0], dict):
        return
    node, key = found
    first, second = json.dumps(node[key]), text.chance.choice(("null", "-1", '"x"', "{}", json.dumps(node[key])))
    pair = [first, second] if text.chance.random() < 0.5 else [second, first]
    node[key] = text.raw(f"{pair[0]},{json.dumps(key)}:{pair[1]}")


def _order(text: _Text) -> None:
    nodes = [text.body]
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            items = list(node.items())
            text.chance.shuffle(items)
            node.clear()
            node.update(items)
        nodes += [child for child in (node.values() if isinstance(node, dict) else node) if isinstance(child, dict)]


def _escaped(text: str) -> str:
    return "".join(f"\\u{ord(letter) & 0xFFFF:04x}" for letter in text)


def _escape(text: _Text) -> None:
    """A text, or a key, whose letters are all escaped; sometimes with half a pair of surrogates behind."""
    found = text.place()
    if not found:
        return
    node, key = found
    value = node[key] if isinstance(node[key], str) else "x"
    escaped = _escaped(value[:100])
    node[key] = text.raw(f'"{escaped}{text.chance.choice(("", "", chr(92) + "ud800", chr(92) + "u0000"))}"')
    if isinstance(node, dict) and text.chance.random() < 0.3:
        text.escaped_key = key


def _rows(text: _Text) -> None:
    """A list becomes empty, or much longer."""
    lists = [text.body] if isinstance(text.body, list) else []
    nodes = [text.body]
    while nodes:
        node = nodes.pop()
        for child in node.values() if isinstance(node, dict) else node:
            if isinstance(child, list):
                lists.append(child)
            if isinstance(child, dict | list):
                nodes.append(child)
    if lists:
        chosen = text.chance.choice(lists)
        chosen[:] = chosen * text.chance.choice((0, 2, *_REPEATS))


def _whole(text: _Text) -> None:
    text.body = text.chance.choice(
        (1, None, "x", [], {}, True, [text.body], {"data": text.body}, {"stream": text.body})
    )


_BYTES: tuple[Callable[[bytes, bytes, random.Random], bytes], ...] = (
    _flip, _insert, _delete, _repeat, _splice, _truncate, _bad_utf8, _around,
)  # fmt: skip
_JSON: tuple[Callable[[_Text], None], ...] = (
    _remove, _type, _number, _number, _number, _quotes, _time, _time, _id, _id, _symbol, _nest, _twice, _order, _escape,
    _rows, _whole,
)  # fmt: skip
_SHARE_OF_BYTES = 0.3


def mutated(frame: bytes, seed: int, *, others: Sequence[bytes] = ()) -> Mutation:
    """The frame changed once or a few times. `others` are those that it may be mixed with."""
    change = _mutated(frame, seed, others)
    return change if len(change.frame) <= MOST_FRAME_BYTES else Mutation(change.name, change.frame[:MOST_FRAME_BYTES])


def _mutated(frame: bytes, seed: int, others: Sequence[bytes]) -> Mutation:
    chance = random.Random(seed)
    other = chance.choice(others) if others else frame
    if chance.random() < _SHARE_OF_BYTES:
        return _mutated_bytes(frame, other, chance)
    try:
        body = json.loads(frame)
    except ValueError:
        return _mutated_bytes(frame, other, chance)
    if not isinstance(body, dict | list):
        return _mutated_bytes(frame, other, chance)
    text = _Text(body, chance)
    names = []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        change = chance.choice(_JSON)
        if isinstance(text.body, dict | list):
            change(text)
            names.append(change.__name__.strip("_"))
    return Mutation("+".join(names), text.encoded())


def _mutated_bytes(frame: bytes, other: bytes, chance: random.Random) -> Mutation:
    if not frame:
        return Mutation("insert", chance.randbytes(_MOST_BYTES))
    change = chance.choice(_BYTES)
    return Mutation(change.__name__.strip("_"), change(frame, other, chance))
