"""The funding of one instrument: every settled payment once, oldest first, and what is to come.

The laws:
* A payment is settled when its time has passed. It is then queried over REST, the only place that has it, until it is
  there: after `SETTLED_MS`, and from then on with delays that double.
* Queries begin behind the newest known payment, so a restart or an outage of any length leaves none out; a first start
  fetches those of `HISTORY_MS`.
* Payments leave in the order of their times, each once.
* Besides, `CHECK_MS` after the last query there is another one: the next time may never have been reported.
"""

from typing import Final

from flows.clock import Now
from flows.model import Funding, FundingState, FundingTerms, Incident, MarkReport
from flows.operators.delay import doubled_ms
from flows.queries import FundingQuery, FundingTermsQuery, Query, QueryError

SETTLED_MS: Final = 5_000
"""How long after its time, in the feed's time, a payment is first queried."""
RETRY_MIN_MS: Final = 5_000
"""First delay, local time, before a query is repeated; doubles with each failure, up to `RETRY_MAX_MS`."""
RETRY_MAX_MS: Final = 300_000
CHECK_MS: Final = 3_600_000
TERMS_MS: Final = 6 * 3_600_000
"""Time between two queries of the terms."""
HISTORY_MS: Final = 30 * 86_400_000
SLACK_MS: Final = 60_000
"""A payment's time may be so much off the announced one."""
MOST_FAILURES: Final = 4
"""Failures in a row that are an incident."""


class FundingBook:
    """The payments of one instrument. `known` is the time of the newest payment that has left; 0 without any."""

    def __init__(self, venue: str, symbol: str, *, known: int = 0) -> None:
        self._venue, self._symbol = venue, symbol
        self.known = known
        self._last: Funding | None = None
        self._terms: FundingTerms | None = None
        self._next_time = 0
        self._expected = 0
        """Time of a payment that is over and not known yet."""
        self._query_at: int | None = None
        self._is_queried = False
        self._terms_at: int | None = None
        self._are_terms_queried = False
        self._failures = 0
        self._is_off = False
        self._report: MarkReport | None = None
        self._sent: FundingState | None = None

    def begin(self, now: Now) -> None:
        """The instrument is followed: its history and its terms are queried."""
        if self._query_at is None and not self._is_queried and not self._is_off:
            self._query_at = now.local
        if self._terms_at is None and not self._is_off:
            self._terms_at = now.local

    def take(self, report: MarkReport) -> None:
        """What a mark price says of funding."""
        self._report = report
        following = report.next_funding_time
        if self._next_time and following > self._next_time + SLACK_MS:
            self._expect(self._next_time)
        self._next_time = following or self._next_time

    def state(self) -> list[FundingState]:
        """What is known at present, if it has changed."""
        report = self._report
        if report is None or (not report.next_funding_time and self._last is None):
            return []
        terms, sent = self._terms, self._sent
        found = FundingState(
            venue=self._venue,
            symbol=self._symbol,
            event_time=report.event_time,
            rate=report.funding_rate,
            next_time=report.next_funding_time,
            interval_hours=terms.interval_hours if terms else None,
            cap=terms.cap if terms else None,
            floor=terms.floor if terms else None,
            last=self._last,
        )
        if sent and _content(sent) == _content(found):
            return []
        self._sent = found
        return [found]

    def queries(self, now: Now) -> list[Query]:
        """The queries that are due."""
        if self._next_time and now.feed >= self._next_time + SETTLED_MS:
            self._expect(self._next_time)
        out: list[Query] = []
        is_due = self._query_at is not None and now.local >= self._query_at
        if is_due and not self._is_queried and now.feed:
            self._is_queried, self._query_at = True, None
            start = self.known + 1 if self.known else now.feed - HISTORY_MS
            out.append(FundingQuery(self._symbol, start, now.feed + SLACK_MS))
        if self._terms_at is not None and now.local >= self._terms_at and not self._are_terms_queried:
            self._are_terms_queried, self._terms_at = True, None
            out.append(FundingTermsQuery(self._symbol))
        return out

    def _expect(self, time: int) -> None:
        """The payment of that time is over."""
        if time > max(self._expected, self.known + SLACK_MS):
            self._expected, self._failures = time, 0
            self._query_at = 0

    def on_answer(self, answer: list[Funding] | QueryError, now: Now) -> list[Funding | Incident]:
        """The payments that were not known, oldest first."""
        self._is_queried = False
        if isinstance(answer, QueryError):
            self._is_off = answer.lasting
            return [*self._failed(str(answer), now)]
        new: list[Funding] = []
        for payment in answer:
            if payment.time > self.known:
                self.known, self._last = payment.time, payment
                new.append(payment)
        if self._expected > self.known + SLACK_MS:
            return [*new, *self._failed("the exchange does not have it yet", now)]
        self._failures = 0
        # a full page is followed by the next one; a short one says that there is no more
        self._query_at = now.local + (RETRY_MIN_MS if len(answer) >= _PAGE else CHECK_MS)
        return [*new]

    def on_terms(self, answer: FundingTerms | QueryError | None, now: Now) -> None:
        """How funding is settled."""
        self._are_terms_queried = False
        if isinstance(answer, QueryError):
            self._terms_at = None if answer.lasting else now.local + RETRY_MAX_MS
            return
        self._terms, self._terms_at = answer or self._terms, now.local + TERMS_MS

    def _failed(self, reason: str, now: Now) -> list[Incident]:
        self._failures += 1
        if self._is_off:
            return []
        self._query_at = now.local + doubled_ms(RETRY_MIN_MS, self._failures, longest_ms=RETRY_MAX_MS)
        if self._failures != MOST_FAILURES:
            return []
        time = self._expected or now.feed
        cause = f"the funding is not known: {reason}"
        return [Incident("history", self._venue, self._symbol, time, now.feed, cause, "queried again until it is")]

    def due_in(self, now: Now) -> int | None:
        """Milliseconds until a query is due."""
        waits = []
        if self._query_at is not None and not self._is_queried:
            waits.append(self._query_at - now.local)
        if self._terms_at is not None and not self._are_terms_queried:
            waits.append(self._terms_at - now.local)
        if self._next_time > self._expected:
            waits.append(self._next_time + SETTLED_MS - now.feed)
        return max(0, min(waits)) if waits else None


_PAGE = 1_000
"""An answer with so many payments may lack later ones."""


def _content(state: FundingState) -> tuple[object, ...]:
    return state.rate, state.next_time, state.interval_hours, state.cap, state.floor, state.last
