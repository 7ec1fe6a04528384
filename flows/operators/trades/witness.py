"""The newest trade of an instrument, as other messages of the venue name it: klines, tickers, `NewestTrade`.

One that is ahead of the trades for longer than a straggler takes is a gap, also when no trade comes. The gap is open
until the stream itself brings trades again: those that are fetched meanwhile are late. A stream of which everything is
refused has such a gap too.
"""

from typing import Final

from flows.clock import Now
from flows.operators.delay import doubled_ms

STRAGGLER_MS = 2_000
"""Trades may come so much later than a message that knows them."""
LEAST_MESSAGES = 2
"""One message alone names no gap."""
ENOUGH_ANSWERS = 3
"""Answers of the venue that it knows no later trade; then what a witness names is not a trade that will come."""
RETRY_MS = 1_000
"""First delay before the venue is queried again, local time; doubles each time."""
PROBE_MS = 60_000
"""The same for a silent stream of which no witness is ahead."""
LONGEST_MS = 600_000
REFUSED_MS: Final = 2_000
REFUSED_LEAST: Final = 3
"""So many refusals and nothing else for so long, local time: the stream brings nothing."""
CALM_MS: Final = PROBE_MS
"""A silent stream that has missed trades is believed again when no others were made for so long."""
RENEW_MS: Final = 5_000
"""First time between two renewals of a stream that has missed trades, local; four times as long each time."""
_RENEW_FACTOR: Final = 4
MOST_AHEAD = 1_000_000
"""Trades that a witness may be ahead by, and more for the time since the newest one: `MOST_PER_MS` each ms."""
MOST_PER_MS = 20
"""No instrument trades faster."""

NO_ID = -1


class Witness:
    """How far other messages are ahead of the newest trade. Ids are of single fills, times local."""

    def __init__(self) -> None:
        self.newest_id = NO_ID
        """The newest trade that the last message named."""
        self._since: int | None = None
        self._messages = 0
        self._discounted = NO_ID
        self._answers = 0
        self._query_at = 0
        self._probe_at: int | None = None
        self._probes = 0
        self._refused_at: int | None = None
        self._refusals = 0
        self._refusing_since = 0
        self._refusal = ""
        self._is_mute = False
        """A gap was published, and the stream has brought nothing since."""
        self._confirmed_at: int | None = None
        """When the venue named the known trade as the newest one at last."""
        self._is_quiet = False
        """It has done so since the stream fell silent."""
        self._missed_at = 0
        """When something was fetched or refused last."""
        self._delay_ms = 0
        self.is_suspected = False
        """REST knows trades of a silent stream that may be on their way: it says so before the stream does."""
        self._renew_at = self._renew_ms = 0
        self.is_ahead = False
        """The last message named a trade that has not come."""
        self.was_ahead = False
        """A gap was published for it, and is not closed yet."""
        self.is_settled = True
        """Nothing is ahead of the trades, nor was."""
        self.due: int | None = None
        """Local time at which later trades are to be queried; None when there is no reason to."""

    def on_message(self, last_id: int, known_id: int, elapsed_ms: int, now: Now) -> None:
        """A message names `last_id`, where `known_id` is the newest trade, `elapsed_ms` older than that."""
        most = MOST_AHEAD + MOST_PER_MS * max(0, elapsed_ms)
        if last_id < 0 or last_id - known_id > most:
            return  # it names none, or one that cannot be: the next message decides
        self.newest_id = last_id
        if last_id <= known_id or last_id <= self._discounted:
            self._settle()
            self._update()
            return
        if self._since is None:
            self._since, self._answers, self._query_at = now.local, 0, now.local + STRAGGLER_MS
        self._messages += 1
        self._update()

    def on_trades(self, known_id: int) -> None:
        """Trades have come, the newest with this id."""
        if self._since is not None and known_id >= self.newest_id:
            self._settle()
        self._refused_at = None  # the sequence has gone on, so what is missing shows
        self._update()

    def on_silent(self, now: Now) -> None:
        """The stream of trades is silent: the venue is to be queried, unless it keeps naming the newest trade."""
        is_named = self._confirmed_at is not None and now.local - self._confirmed_at <= STRAGGLER_MS
        self._probe_at, self._probes = now.local + (STRAGGLER_MS if is_named else 0), 0
        self._is_quiet = False
        self._update()

    def confirm(self, now: Now) -> bool:
        """The venue names the known trade as the newest one. Whether that is news of a silent stream: then it misses
        nothing, and is not queried for while this goes on.
        """
        self._confirmed_at = now.local
        if self._probe_at is None or not self.is_settled:
            return False
        self._probe_at, self._probes = now.local + PROBE_MS, 0
        was_quiet, self._is_quiet = self._is_quiet, True
        self._update()
        return not was_quiet

    def on_stream(self) -> None:
        """The stream itself has brought a trade."""
        self._is_mute, self._refusals, self._probe_at, self.is_suspected = False, 0, None, False
        self._update()

    def on_subscribed(self) -> None:
        """The stream begins anew."""
        self.was_ahead, self._delay_ms = False, 0
        self.on_stream()

    def on_fetched(self, delay_ms: int, now: Now) -> None:
        """Trades were fetched, the oldest made so long ago."""
        self._missed_at = now.local
        self._delay_ms = max(self._delay_ms, delay_ms)

    @property
    def has_refused(self) -> bool:
        """Whether the venue is queried because a trade was refused."""
        return self._refused_at is not None

    def on_refused(self, reason: str, now: Now, *, is_known: bool = False) -> None:
        """A trade was refused: what stood in its place is to be queried, unless the next trade shows that, or it
        `is_known`.
        """
        if not self._refusals:
            self._refusing_since, self._refusal = now.local, reason
        self._refusals += 1
        self._missed_at = now.local
        if self._refused_at is None and not is_known:
            self._refused_at = now.local + STRAGGLER_MS
        self._update()

    @property
    def is_refused(self) -> bool:
        """Whether everything that the stream brings is refused."""
        lasts_ms = self._missed_at - self._refusing_since
        return self._refusals >= REFUSED_LEAST and lasts_ms >= REFUSED_MS

    def reason(self, kind: str) -> str:
        """Why the stream of this kind is not believed to bring every trade."""
        why = (
            f"everything that {kind} brings is refused: {self._refusal}"
            if self.is_refused
            else f"trades are made, and none comes by {kind}"
        )
        late_s = -(-self._delay_ms // 1_000)
        return f"{why}; they are fetched over REST, up to {late_s} s late" if late_s > 0 else why

    def on_speaking(self) -> None:
        """The stream is no longer silent."""
        self._probe_at, self.is_suspected = None, False
        self._update()

    def on_answer(self, *, has_trades: bool, now: Now) -> None:
        """The query for later trades is answered."""
        self._refused_at = None
        if has_trades:
            self._answers, self._query_at = 0, now.local
            self._probe_at = None if self._probe_at is None else now.local + PROBE_MS
            self._update()
            return
        self._answers += 1
        self._query_at = now.local + doubled_ms(RETRY_MS, self._answers + 1, longest_ms=LONGEST_MS)
        if self._probe_at is not None:
            self._probes += 1
            self._probe_at = now.local + doubled_ms(PROBE_MS, self._probes, longest_ms=LONGEST_MS)
        if self._answers >= ENOUGH_ANSWERS and self._since is not None:
            self._discounted = self.newest_id
            self._settle()
        self._update()

    def suspect(self, now: Now) -> bool:
        """REST has brought trades. Whether they may yet come by the stream: then the venue is queried again when a
        straggler would have come. Not where a message has named them, nor where the stream has missed trades.
        """
        if self.is_suspected or self.is_ahead or self.was_ahead or self._refusals:
            return False
        self.is_suspected, self._probe_at = True, now.local + STRAGGLER_MS
        self._update()
        return True

    def open_gap(self, now: Now) -> None:
        """It is published that the stream has missed trades."""
        self.is_suspected = False
        self.was_ahead, self.is_settled, self._is_mute = True, False, True
        self._renew_at, self._renew_ms = now.local, RENEW_MS
        if self._probe_at is None:
            self._probe_at, self._probes = now.local + PROBE_MS, 0
            self._update()

    def is_over(self, now: Now) -> bool:
        """Whether the gap that was published is over: the trades have come, and the stream goes on, or no trades are
        made.
        """
        is_calm = now.local - self._missed_at >= CALM_MS
        return self.was_ahead and not self.is_ahead and (is_calm or not self._is_mute)

    @property
    def has_spoken(self) -> bool:
        """Whether the stream itself has brought trades since the gap was published."""
        return not self._is_mute

    def claim_renewal(self, now: Now) -> bool:
        """Whether it is time to renew a stream that has missed trades."""
        if not self._is_mute or self.is_refused or now.local < self._renew_at:
            return False
        self._renew_at, self._renew_ms = now.local + self._renew_ms, self._renew_ms * _RENEW_FACTOR
        return True

    def close_gap(self) -> None:
        """It is published that the gap is over."""
        self.was_ahead, self._delay_ms, self._refusals = False, 0, 0
        self._update()

    def _settle(self) -> None:
        self._since, self._messages = None, 0

    def _update(self) -> None:
        self.is_ahead = self._since is not None or self._refused_at is not None
        self.is_settled = not (self.is_ahead or self.was_ahead or self._refusals or self.is_suspected)
        dues = [due for due in (self._probe_at, self._refused_at) if due is not None]
        if self._since is not None and self._messages >= LEAST_MESSAGES:
            dues.append(self._query_at)
        self.due = min(dues, default=None)
