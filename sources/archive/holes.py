"""Which imported days lack trades: what is stored of them is not all that there was."""

from flows.model import Incident
from sources.archive.spans import Span

MOST_HOLES = 100_000
"""Holes of a symbol that are remembered apart; with more, the newest grows."""


class Holes:
    """Takes the incidents of an import; only those of missing ids count. Spans of a symbol come in order of time."""

    def __init__(self) -> None:
        self._holes: dict[str, list[tuple[int, int]]] = {}
        """By symbol the times of the trades on both sides, ms UTC."""
        self._newest: dict[str, Span] = {}

    def write(self, batch: list[Incident]) -> None:
        """Takes incidents in their order."""
        for incident in batch:
            if incident.kind == "gap" and incident.first_id >= 0:
                holes = self._holes.setdefault(incident.symbol, [])
                begin = holes.pop()[0] if len(holes) >= MOST_HOLES else incident.begin
                holes.append((begin, incident.end))

    def close(self) -> None:
        """Nothing is open."""

    def sort(self, spans: list[Span]) -> tuple[list[Span], list[Span]]:
        """Of stored spans, those without a hole and those with one; the latter with the span before, if a hole reaches
        into it: nothing says on which side its trades were made.
        """
        whole: list[Span] = []
        lacking: list[Span] = []
        for span in spans:
            before = self._newest.get(span.symbol)
            if before is not None and before not in lacking and self._reaches_into(before):
                whole = [other for other in whole if other != before]
                lacking.append(before)
            (lacking if self._reaches_into(span) else whole).append(span)
            self._newest[span.symbol] = span
            self._holes[span.symbol] = [hole for hole in self._holes.get(span.symbol, []) if hole[1] >= span.begin]
        return whole, lacking

    def _reaches_into(self, span: Span) -> bool:
        return any(begin < span.end and span.begin < end for begin, end in self._holes.get(span.symbol, []))
