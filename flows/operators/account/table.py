"""What is known of each asset or position of an account, from two sources that overtake each other: updates of a
stream, and snapshots. Every report is absolute and has a time, so each item is settled alone and waits for nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Generic, Literal, TypeAlias, TypeVar

from msgspec import Struct, structs

K = TypeVar("K")
V = TypeVar("V")

Outcome: TypeAlias = Literal["changed", "refined", "same", "late", "doubtful"]
LAG_MS: Final = 2_000
"""An answer to a query may be older than the newest update by so much: servers of a venue follow each other."""
GONE_MS: Final = 60_000
"""An item of nothing is kept so long at the least, with its time: an update from before it may come late, or again."""
_MOST_EARLIER: Final = 32


class Known(Struct, Generic[V], frozen=True):
    """What is known of one item."""

    value: V
    time: int
    """Of the newest report, by the venue: it never falls, so that what is stored of the item is always replaced."""
    received: int
    """When an update of the stream brought it, local; 0: long ago, or a snapshot brought it."""
    earlier: tuple[V, ...] = ()
    """Other values that updates of the same time have brought before."""
    gone: int | None = None
    """When a snapshot that does not have the item was queried first, local."""


class Comparison(Struct, Generic[K]):
    """What a snapshot has changed."""

    changed: list[K]
    refined: list[K]
    """What differs alone in what streams do not announce, such as prices and profit."""
    is_doubtful: bool = False
    """The snapshot and an update contradict each other, and which one is newer is not known: it is queried again."""


class Table(Generic[K, V]):
    """The items by key. `differs(old, new)`: whether two values are not the same holding, `refines(old, new)`: whether
    the new one says something else of it; `zero(key)`: the value of an item that a snapshot does not have;
    `joined(old, new)`: the new value with what only the old one says.
    """

    def __init__(
        self,
        *,
        differs: Callable[[V, V], bool],
        refines: Callable[[V, V], bool],
        zero: Callable[[K], V],
        joined: Callable[[V, V], V],
    ) -> None:
        self.items: dict[K, Known[V]] = {}
        self._differs = differs
        self._refines = refines
        self._zero = zero
        self._joined = joined

    def value(self, key: K) -> V:
        """What is known of an item."""
        known = self.items.get(key)
        return self._zero(key) if known is None else known.value

    def restore(self, items: Iterable[tuple[K, V, int]]) -> None:
        """Takes keys, values and times of before a restart."""
        self.items = {key: Known(value, time, 0) for key, value, time in items}

    def update(self, key: K, value: V, time: int, local: int) -> Outcome:
        """Takes an update of the stream. `refined`: the holding is the same, and something else of it is new. `late`: a
        newer one is known. `doubtful`: it is taken or left, and which one of several updates of the same time is the
        last is not sure, as their order may have been lost.
        """
        known = self.items.get(key)
        if known is None:
            self.items[key] = Known(value, time, local)
            return "changed" if self._differs(self._zero(key), value) else "same"
        if time < known.time:
            return "late"
        value = self._joined(known.value, value)
        if not self._differs(known.value, value):
            self.items[key] = structs.replace(known, value=value, time=time, received=local, gone=None)
            return "refined" if self._refines(known.value, value) else "same"
        if time > known.time:
            self.items[key] = Known(value, time, local)
            return "changed"
        if any(not self._differs(one, value) for one in known.earlier):
            return "doubtful"  # a duplicate of what another update has replaced
        earlier = (*known.earlier, known.value)[-_MOST_EARLIER:]
        self.items[key] = Known(value, time, local, earlier)
        return "doubtful"

    def compare(self, found: Mapping[K, tuple[V, int]], time: int, queried: int) -> Comparison[K]:
        """Takes a snapshot: values with their times, 0 for that of the whole, `time`. It was `queried` at that local
        time. What an update has brought since, or shortly before with a later time, is kept.
        """
        compared: Comparison[K] = Comparison([], [])
        for key in [*found, *(key for key in self.items if key not in found)]:
            value, own = found.get(key, (self._zero(key), 0))
            self._settle(key, value, own or time, queried, compared)
        for key in [key for key, known in self.items.items() if self._is_nothing(key, known) and key not in found]:
            self._forget(key, queried)
        return compared

    def _forget(self, key: K, queried: int) -> None:
        """Forgets an item of nothing that snapshots have not had for some time."""
        known = self.items[key]
        if known.gone is None:
            self.items[key] = structs.replace(known, gone=queried)
        elif known.gone + GONE_MS <= queried:
            del self.items[key]

    def _settle(self, key: K, value: V, time: int, queried: int, compared: Comparison[K]) -> None:
        known = self.items.get(key)
        if known is None:
            known = Known(self._zero(key), 0, 0)
        joined = self._joined(known.value, value)
        differs = self._differs(known.value, joined)
        is_settled = not known.received or known.received + LAG_MS <= queried
        if time < known.time and not is_settled:
            compared.is_doubtful |= differs
            return
        self.items[key] = Known(joined, max(time, known.time), 0, gone=None if differs else known.gone)
        if differs:
            compared.changed.append(key)
        elif self._refines(known.value, joined):
            compared.refined.append(key)

    def _is_nothing(self, key: K, known: Known[V]) -> bool:
        return not self._differs(self._zero(key), known.value)
