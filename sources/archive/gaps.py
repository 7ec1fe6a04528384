"""Which imported days have gaps: trades of them are missing in the stores."""

from flows.model import Incident
from sources.archive.spans import Span

MOST_GAPS = 100_000
"""Most gaps per symbol; with more, the newest is extended."""


class ImportGaps:
    """Collects the gaps from the incidents of an import. Spans of a symbol must arrive in order of time."""

    def __init__(self) -> None:
        self._gaps: dict[str, list[tuple[int, int]]] = {}
        """By symbol the times of the trades before and after each gap, ms UTC."""
        self._newest: dict[str, Span] = {}

    def write(self, batch: list[Incident]) -> None:
        """Adds the gaps among the incidents of a batch."""
        for incident in batch:
            if incident.kind == "gap" and incident.first_id >= 0:
                gaps = self._gaps.setdefault(incident.symbol, [])
                begin = gaps.pop()[0] if len(gaps) >= MOST_GAPS else incident.begin
                gaps.append((begin, incident.end))

    def close(self) -> None:
        """Does nothing."""

    def sort(self, spans: list[Span]) -> tuple[list[Span], list[Span]]:
        """Splits stored spans into those without and those with a gap. The latter include the span before, if a gap
        reaches into it: it is unknown on which side its trades were made.
        """
        whole: list[Span] = []
        incomplete: list[Span] = []
        for span in spans:
            before = self._newest.get(span.symbol)
            if before is not None and before not in incomplete and self._reaches_into(before):
                whole = [other for other in whole if other != before]
                incomplete.append(before)
            (incomplete if self._reaches_into(span) else whole).append(span)
            self._newest[span.symbol] = span
            self._gaps[span.symbol] = [gap for gap in self._gaps.get(span.symbol, []) if gap[1] >= span.begin]
        return whole, incomplete

    def _reaches_into(self, span: Span) -> bool:
        return any(begin < span.end and span.begin < end for begin, end in self._gaps.get(span.symbol, []))
