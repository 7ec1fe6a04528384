"""Which connection carries which symbols: the same for every venue."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Kinds: TypeAlias = tuple[str, ...]


def spread(
    wanted: Mapping[str, Kinds], current: Sequence[Sequence[str]], *, connections: int, streams_per_connection: int
) -> list[dict[str, Kinds]]:
    """The kinds by symbol of each connection of a line; first those of `current`, which lists the symbols of the open
    ones, in the same order. A symbol's streams stay together and where they are; a new one goes to the connection with
    the fewest streams. A full connection may grow further by more kinds of its symbols: the limits of venues are well
    above ours. There are as many as `connections`, and more where the streams do not fit.
    """
    sizes = {symbol: len(kinds) for symbol, kinds in wanted.items()}
    parts = [[symbol for symbol in symbols if symbol in wanted] for symbols in current]
    fewest = min(len(wanted), max(connections, -(-sum(sizes.values()) // streams_per_connection)))
    parts += [[] for _ in range(fewest - len(parts))]
    loads = [sum(sizes[symbol] for symbol in part) for part in parts]
    assigned = {symbol for part in parts for symbol in part}
    for symbol in (symbol for symbol in wanted if symbol not in assigned):
        place = loads.index(min(loads))
        if loads[place] and loads[place] + sizes[symbol] > streams_per_connection:
            place = len(parts)
            parts.append([])
            loads.append(0)
        parts[place].append(symbol)
        loads[place] += sizes[symbol]
    return [{symbol: wanted[symbol] for symbol in part} for part in parts]
