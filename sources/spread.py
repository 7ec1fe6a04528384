"""Which connection carries which symbols: the same for every venue."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from sources.feed import ConnectionPlan, DesiredStreams
from sources.venue import FeedSettings

Kinds: TypeAlias = tuple[str, ...]


def plans_of(
    lines: Sequence[str],
    desired: DesiredStreams,
    current: Sequence[ConnectionPlan],
    *,
    kinds_on: Callable[[str, Kinds], Kinds],
    plan: Callable[[str, dict[str, Kinds]], ConnectionPlan],
    settings: FeedSettings,
) -> list[ConnectionPlan]:
    """The connections as of `VenueFeed.plans`. `kinds_on` gives the single kinds of a symbol's desired ones on a line,
    `plan` the connection of a line that carries these kinds by symbol.
    """
    following = {}
    for line in lines:
        wanted = {symbol: kinds for symbol in desired if (kinds := kinds_on(line, desired[symbol]))}
        following[line] = spread(
            wanted,
            [one.symbols for one in current if one.line == line],
            connections=settings.connections,
            streams_per_connection=settings.streams_per_connection,
        )
    of_current = [(one.line, following[one.line].pop(0)) for one in current]
    more = [(line, carried) for line, parts in following.items() for carried in parts]
    return [plan(line, carried) for line, carried in (*of_current, *more)]


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
