"""The machine of one account: its holdings, from the private stream and from snapshots.

The stream is subscribed first; then all that the account has is queried, and what updates have brought meanwhile holds.
So nothing between the two is lost, on each connection anew. Streams may be silent or lose something and not show it: so
there is an audit, a snapshot from time to time, and what it changes is an incident.
"""

from typing import Any, Final

from msgspec import Struct

from flows.clock import Now
from flows.model.account import (
    AccountEvent,
    AccountInput,
    AccountItem,
    AccountPrices,
    AccountSnapshot,
    AccountState,
    AccountTotal,
    AccountUpdate,
)
from flows.model.incidents import Incident
from flows.operators.account.holdings import Changes, Holdings
from flows.operators.account.state import KeptState, kept, restored
from flows.operators.account.values import Values
from flows.queries import AccountQuery, AccountRenewQuery, Query, QueryError
from flows.texts import counted

RECHECK_MS: Final = 1_000
"""Time from a doubtful or incomplete update to the snapshot that settles it."""
LEAST_BETWEEN_MS: Final = 1_000
"""Least time between two snapshots of one stream."""
ANNOUNCED_MS: Final = 5_000
"""A change that was announced is known after so much, or what is shown is stale. Venues answer in 2 to 4 s."""
_MOST_AUDITS: Final = 2
"""What was compared last so many audits ago is stale."""
FIRST_RETRY_MS: Final = 2_000
LAST_RETRY_MS: Final = 64_000
REFUSED_RETRY_MS: Final = 300_000
"""Time until a refused query is made again: the key may have been given its right meanwhile."""
_MINUTE_MS: Final = 60_000
_TICK_MS: Final = 1_000

Output = AccountItem | AccountTotal | Incident | Query


class AccountPolicy(Struct, frozen=True):
    """How an account is kept."""

    audit_ms: int
    stale_ms: int
    quote: str


class AccountKeeper:
    """See the module. The key is `venue:account`."""

    def __init__(self, key: str, policy: AccountPolicy, state: Any = None) -> None:
        """`StateVersionError` for a state of another version or form."""
        self._venue, _, self._account = key.partition(":")
        self._policy = policy
        self._holdings = Holdings()
        self._snapshot_time = self._event_time = 0
        if state is not None:
            self._snapshot_time, self._event_time = restored(state, self._holdings, key)
        self._values = Values(self._venue, self._account, policy.quote, self._holdings, policy.stale_ms)
        self._owes_all = state is not None
        self._is_open = False
        self._is_compared = False
        """There was a snapshot that was queried since the stream is open."""
        self._refusal = ""
        self._reason = "the stream is not open yet"
        self._was_live = False
        self._spoke_at: int | None = None
        """When something came by the stream last, local."""
        self._number = 0
        self._first_valid = 0
        self._under_way: tuple[AccountQuery, int] | None = None
        self._query_at: int | None = None
        self._expected = 1
        """Number of the newest query whose answer may change what was not to be known before."""
        self._missing: dict[str, int] = {}
        """Assets that have changed by an amount, and their new amount was not said: since when, local."""
        self._announced: dict[int, int] = {}
        """By the number of the first query whose answer has it: since when a change is announced, local."""
        self._compared_at = 0
        """When the newest snapshot that was compared was queried, local."""
        self._failures = 0
        self._not_before = 0
        """No query is made before, whatever wants it, local."""
        self._shown: tuple[str, str] | None = None
        self._since = 0
        self._shown_at = 0
        self._minute = 0
        self._tick_at = 0
        """When time alone is looked at again, local."""

    # --- inputs ------------------------------------------------------------------------------------------------------

    def on_events(self, events: AccountInput, now: Now) -> list[Output]:
        """Takes what came by the stream, or prices."""
        out: list[Output] = self._all(now)
        match events:
            case AccountPrices():
                return [*out, *self._values.on_prices(events, now)]
            case AccountUpdate():
                self._note(events.time, now)
                out += self._update(events, now)
            case AccountSnapshot():
                self._note(events.time, now)
                out += self._compare(events, now.local, now, is_expected=self._number < self._expected)
                self._compared_at = now.local
                self._is_compared = self._is_compared or self._is_open
            case AccountEvent():
                self._on_event(events, now)
        return [*out, *self._query(now), *self._state(now)]

    def on_answer(self, query: Query, answer: Any, now: Now) -> list[Output]:
        """Takes a snapshot, or why there is none."""
        if not isinstance(query, AccountQuery):
            return []
        if self._under_way is None or self._under_way[0] != query:
            return []
        queried, self._under_way = self._under_way[1], None
        out: list[Output] = []
        if isinstance(answer, QueryError):
            self._fail(answer, now)
        else:
            self._failures, self._refusal = 0, ""
            self._announced = {number: since for number, since in self._announced.items() if number > query.number}
            out += self._compare(answer, queried, now, is_expected=query.number <= self._expected)
            if query.number >= self._first_valid and self._is_open:
                self._is_compared, self._compared_at = True, queried
                self._want(now.local + self._policy.audit_ms)
            else:
                self._want(now.local)
        return [*out, *self._query(now), *self._state(now)]

    def on_timer(self, now: Now) -> list[Output]:
        """Queries what is due, and says what time alone changes."""
        out: list[Output] = self._all(now)
        self._tick_at = now.local + _TICK_MS
        for asset in [asset for asset, since in self._missing.items() if since + RECHECK_MS <= now.local]:
            self._announce(self._missing.pop(asset))
            self._want(now.local)
        if self._is_compared and self._values.is_old(now):
            self._want(now.local)
        out += self._query(now)
        out += self._state(now)
        minute = now.feed // _MINUTE_MS * _MINUTE_MS
        if minute > self._minute:
            if self._minute and self._is_live(now):
                out.append(self._values.total(minute))
            self._minute = minute
        return out

    def on_end(self, now: Now) -> list[Output]:  # noqa: ARG002 - as of every machine
        """Nothing is held back."""
        return []

    def due_in(self, now: Now) -> int | None:
        """Once a second at the latest: staleness and the minute are by time alone."""
        if self._owes_all:
            return 0
        due = self._tick_at
        if self._query_at is not None and self._under_way is None and self._is_open:
            due = min(due, self._query_at)
        return max(0, due - now.local)

    def snapshot(self) -> KeptState:
        """See `state`."""
        return kept(self._holdings, self._snapshot_time, self._event_time)

    # --- the stream --------------------------------------------------------------------------------------------------

    def _note(self, time: int, now: Now) -> None:
        self._spoke_at = now.local
        self._event_time = max(self._event_time, time or now.feed)

    def _on_event(self, event: AccountEvent, now: Now) -> None:
        match event.kind:
            case "opened":
                self._note(event.time, now)
                self._is_open, self._is_compared, self._refusal = True, False, ""
                self._first_valid = self._expected = self._number + 1
                self._reason = "its balances and positions are queried"
                self._missing.clear()
                self._announced.clear()
                self._not_before, self._query_at = 0, now.local
            case "closed" | "expired":
                self._is_open = self._is_compared = False
                self._reason = event.reason or "the stream has ended"
            case "refused":
                self._is_open = self._is_compared = False
                self._refusal = event.reason
            case "trigger":
                self._note(event.time, now)
                self._expected = self._number + 1  # one that is under way may have been answered before
                self._announce(now.local)
                self._want(now.local)
            case "alive":
                self._note(event.time, now)

    def _update(self, update: AccountUpdate, now: Now) -> list[Output]:
        changes = self._holdings.update(update, now.local)
        for row in update.changes:
            self._missing.setdefault(row.asset, now.local)
        for report in update.balances:
            self._missing.pop(report.asset, None)
        if changes.is_doubtful:
            self._announce(now.local)
            self._want(now.local + RECHECK_MS)
        return [*self._values.items(changes)]

    # --- snapshots ---------------------------------------------------------------------------------------------------

    def _announce(self, since: int) -> None:
        """What is shown is not all of the venue's since that local time, until a query that is yet to be made has its
        answer.
        """
        first = self._number + 1
        self._announced[first] = min(since, self._announced.get(first, since))

    def _want(self, local: int) -> None:
        """The next snapshot is queried at this local time, or before; not while it is to wait."""
        local = max(local, self._not_before)
        self._query_at = local if self._query_at is None else min(local, self._query_at)

    def _query(self, now: Now) -> list[Output]:
        is_due = self._query_at is not None and self._query_at <= now.local
        if not is_due or not self._is_open or self._under_way is not None:
            return []
        self._number += 1
        query = AccountQuery("", self._number)
        self._under_way, self._query_at = (query, now.local), None
        self._not_before = now.local + LEAST_BETWEEN_MS
        return [query]

    def _compare(self, snapshot: AccountSnapshot, queried: int, now: Now, *, is_expected: bool) -> list[Output]:
        changes = self._holdings.compare(snapshot, queried)
        self._values.compared(queried)
        self._snapshot_time = max(snapshot.time, snapshot.positions_time, self._snapshot_time)
        out: list[Output] = [*self._values.items(changes)]
        if changes and not is_expected and self._is_compared:
            out += [self._missed(changes, now), AccountRenewQuery("", "a snapshot shows changes that it did not bring")]
        if changes.is_doubtful:
            self._want(now.local + 2 * LEAST_BETWEEN_MS)
        return out

    def _missed(self, changes: Changes, now: Now) -> Incident:
        """The incident names no asset and no amount: it goes where accounts do not."""
        count = len(changes.assets) + len(changes.where)
        time = self._event_time or now.feed
        what = counted(count, "balance or position was", "balances or positions were")
        cause = f"account {self._account}: {what} not the venue's"
        return Incident("account", self._venue, "", time, now.feed or time, cause, "taken from a snapshot")

    def _fail(self, error: QueryError, now: Now) -> None:
        self._failures += 1
        if error.lasting:
            self._refusal = str(error)
            wait_ms = REFUSED_RETRY_MS
        else:
            self._reason = f"its balances cannot be queried: {error}"
            wait_ms = min(FIRST_RETRY_MS << min(self._failures - 1, 10), LAST_RETRY_MS)
        self._query_at = self._not_before = now.local + wait_ms

    # --- what is said of it ------------------------------------------------------------------------------------------

    def _is_live(self, now: Now) -> bool:
        return self._state_of(now)[0] == "live"

    def _state_of(self, now: Now) -> tuple[str, str]:
        if self._refusal:
            return "refused", self._refusal
        before = "stale" if self._was_live else "connecting"
        if not self._is_open or not self._is_compared:
            return before, self._reason
        silent_ms = now.local - (now.local if self._spoke_at is None else self._spoke_at)
        if silent_ms > self._policy.stale_ms:
            return "stale", f"nothing has come for {self._policy.stale_ms // 1_000} s"
        unknown = self._unknown(now)
        return ("stale", unknown) if unknown else ("live", "")

    def _unknown(self, now: Now) -> str:
        """Why what is shown may no longer be the venue's although the stream lives; empty when there is no reason."""
        since = min((*self._announced.values(), *self._missing.values()), default=now.local)
        if self._announced and self._failures:
            return self._reason
        if now.local - since > ANNOUNCED_MS:
            return "a change is announced, and its balances are not known yet"
        if now.local - self._compared_at > _MOST_AUDITS * self._policy.audit_ms:
            return self._reason if self._failures else "its balances could not be compared for too long"
        return ""

    def _state(self, now: Now) -> list[Output]:
        """The state where it has changed, or its times are old: they say to clients how old the rest is."""
        state, reason = found = self._state_of(now)
        refresh_ms = self._policy.stale_ms // 6
        if found == self._shown and now.local - self._shown_at < refresh_ms:
            return []
        if self._shown is None or state != self._shown[0]:
            self._since = now.feed or self._event_time
        self._shown, self._shown_at = found, now.local
        self._was_live = self._was_live or state == "live"
        return [
            AccountState(
                self._venue,
                self._account,
                state,  # type: ignore[arg-type]  # one of the four
                self._since,
                reason,
                self._snapshot_time,
                self._event_time,
            )
        ]

    def _all(self, now: Now) -> list[Output]:
        """After a restart: all that is known from before, once."""
        if not self._owes_all:
            return []
        self._owes_all = False
        self._reason = "the process has started anew"
        where = tuple(self._holdings.open_positions())
        return [*self._state(now), *self._values.items(Changes(tuple(self._holdings.balances.items), where))]
