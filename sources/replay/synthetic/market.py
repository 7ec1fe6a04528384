"""A seeded market without end: trades that hit the top of a book whose diffs chain, after a history of years.

The same seed, symbols and start give the same bytes, whatever the subscriptions. Prices are a random walk with changing
volatility, of which a part is common to all symbols; trades come in bursts, with more of them around midnight than at
noon. For demonstration and tests; it predicts nothing.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from random import Random

import polars as pl

from sources.replay.market.encode import PayloadEncoder
from sources.replay.market.history import HISTORY, SECONDS, History, Shelf, narrowed
from sources.replay.market.lives import ALWAYS, Life, Lives, State
from sources.replay.market.market import MarketKind
from sources.replay.market.playback import Playback
from sources.replay.market.streams.derived import Derive
from sources.replay.market.symbol_market import SymbolMarket
from sources.replay.market.timeline import SymbolSegment, Timeline
from sources.replay.synthetic.book_maker import Ladder
from sources.replay.synthetic.events import EventLog
from sources.replay.synthetic.history import activity, synthetic_history
from sources.replay.synthetic.past import MadePast
from sources.replay.synthetic.prefetch import Lazy, Prefetch
from sources.replay.synthetic.profiles import Profile, profile_of

_SLOT_MS = 100
"""The speed of the depth stream: a slot's changes of the book are one diff."""
_SEGMENT_TRADES = 1_000
"""Trades per symbol and segment, within the bounds below: this bounds the memory."""
_SEGMENT_SLOTS = (1, 200)
_ALL_SEGMENT_SLOTS = 20_000
"""Of all symbols: their segments are ready side by side."""
_WHOLE_HISTORIES = 8
"""With more symbols no history is kept whole."""
_OLD_HISTORIES = 3
"""Of these the old parts that were wanted last are kept, 4 MB each."""
_TAKEN_APART = 2
"""Histories that are kept for their trades, 6 MB each, once these are wanted."""
_RECENT_MS = 26 * 3_600_000
"""What is kept of the others."""
_ALL_PAST_ROWS, _LEAST_PAST_ROWS = 2_000_000, 10_000
"""Trades played that are kept for REST, of all symbols and at least of each."""
_ALL_SECONDS, _LEAST_SECONDS = 240_000, 1_200
"""Klines of a second that are kept, of all symbols and at least of each; the history is as fine at the begin."""
_FIRST_SEGMENT_SLOTS = 20
"""The first segment is short, as all clients wait for it; each is twice as long as the one before, up to the bounds."""
_FILLS = 1.6
"""Trades of an average order."""
_SECOND_VOLATILITY = 0.6 / math.sqrt(365 * 86_400)
_MOST_FILLS = 8
_BURSTS = 0.004
"""Share of slots in which a burst begins."""
_BUYERS = 0.5
_IN_COMMON = 0.7
"""Share of a step of the price that is the same for all symbols: two of them correlate by its square."""
_ALONE = math.sqrt(1 - _IN_COMMON**2)
_QUIET_PER_S = 0.01
"""Trades of a quiet symbol a second: one in a few minutes."""
_STAYS, _DEVIATES = 0.995, 2e-5
"""How much of the deviation between two venues is left after a slot, and what is added: 2e-4 on average."""
_MANY = 30.0
"""Expected orders of a slot above which their number is drawn from the normal distribution."""


class SyntheticMarket(Playback):
    """A market of synthetic symbols. Implements `Market`; it begins at the whole second before `start_ms`.

    `trades_per_s` is what every symbol has on average over a day, but for those that are `quiet`: they trade once in
    some minutes. `profile` gives each symbol's profile where it is not one of Binance, and `derive` what its venue
    sends. A symbol that follows another has its price, as a market of Binance spot with the same seed, begin and
    activity shows it, but for a small deviation.
    """

    def __init__(
        self,
        kind: MarketKind,
        symbols: Sequence[str],
        *,
        seed: int,
        start_ms: int,
        trades_per_s: float = 20.0,
        profile: Callable[[str], Profile] | None = None,
        derive: Derive | None = None,
        quiet: Collection[str] = (),
        lives: Mapping[str, Life] | None = None,
    ) -> None:
        """`lives` are those of symbols that do not trade all the time."""
        begin_ms = start_ms - start_ms % 1_000
        profiles = [profile(symbol) if profile else profile_of(kind, symbol) for symbol in symbols]
        rates = [min(trades_per_s, _QUIET_PER_S) if one.symbol in quiet else trades_per_s for one in profiles]
        all_lives = {one.symbol: (lives or {}).get(one.symbol) or Life() for one in profiles}
        makers = [
            _MarketMaker(kind, one, seed, begin_ms, rate, all_lives[one.symbol])
            for one, rate in zip(profiles, rates, strict=True)
        ]
        shelf, taken_apart = Shelf(_OLD_HISTORIES), Shelf(_TAKEN_APART)
        keeps_all = len(makers) <= _WHOLE_HISTORIES
        pasts = Lazy[pl.DataFrame]("pasts", is_wanted=keeps_all)  # of many, it would keep the market from beginning
        seconds = min(max(_ALL_SECONDS // max(len(makers), 1), _LEAST_SECONDS), SECONDS)
        markets = {
            maker.profile.symbol: SymbolMarket(
                maker.encoder,
                History(pasts.result(maker.history), seconds=seconds)
                if keeps_all
                else History(pasts.result(maker.recent_history), old=shelf.slot(maker.old_history), seconds=seconds),
                past_rows=max(_ALL_PAST_ROWS // len(makers), _LEAST_PAST_ROWS),
                life=maker.life,
                past=maker.past(taken_apart.slot(maker.history)),
            )
            for maker in makers
        }
        made = Lives(all_lives)
        timelines = Prefetch(_timelines(makers, made, begin_ms, trades_per_s))
        super().__init__(kind, markets, timelines, begin_ms=begin_ms, derive=derive, lives=made)


def _timelines(
    makers: Sequence["_MarketMaker"], lives: Lives, begin_ms: int, trades_per_s: float
) -> Iterator[Timeline]:
    bound = int(_SEGMENT_TRADES / max(trades_per_s, 0.001) * 1_000 / _SLOT_MS)
    least, most = _SEGMENT_SLOTS
    most = max(min(bound, most, _ALL_SEGMENT_SLOTS // max(len(makers), 1)), least)
    slots = min(_FIRST_SEGMENT_SLOTS, most)
    while True:
        end_ms = begin_ms + slots * _SLOT_MS
        lives.make(end_ms)
        yield Timeline([maker.segment(begin_ms, end_ms) for maker in makers], end_ms=end_ms)
        begin_ms, slots = end_ms, min(2 * slots, most)


class _Regime:
    """Volatility and activity of a market at present: both drift; bursts of activity start at random and decay."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._log_volatility = 0.0
        self._burst = 0.0

    def step(self) -> tuple[float, float]:
        """Volatility and number of orders of the next slot, as factors of the average."""
        self._log_volatility = 0.995 * self._log_volatility + self._random.gauss(0.0, 0.05)
        self._burst *= 0.9
        if self._random.random() < _BURSTS:
            self._burst += 6.0
        # exp(log_volatility) is 1.13 on average, and bursts add a quarter.
        return math.exp(self._log_volatility), math.exp(self._log_volatility) / 1.13 * (1.0 + self._burst) / 1.24


class _MarketMaker:
    """Generates the segments of one symbol, one after the other."""

    def __init__(
        self,
        kind: MarketKind,
        profile: Profile,
        seed: int,
        begin_ms: int,
        trades_per_s: float,
        life: Life = ALWAYS,
    ) -> None:
        self.life = life
        if not life.is_listed_at_begin:  # a new symbol counts from its first trade
            profile = profile._replace(first_trade_id=1, first_aggregate_id=1, first_update_id=1)
        self.profile = profile
        self.encoder = PayloadEncoder(kind, profile.symbol, profile.decimals)
        self._seed = seed
        self._begin_ms = begin_ms
        self._trades_per_s = trades_per_s
        self._random = Random(f"{seed}:{profile.symbol}")  # noqa: S311  # a market, no secret
        self._common = Random(f"{seed}:common")  # noqa: S311  # a market, no secret
        self._regime = _Regime(self._random)
        self._fair = float(profile.ticks)
        self._reference = _Reference(profile, seed, begin_ms, trades_per_s) if profile.reference else None
        self.fairs: list[float] = []
        """The fair price in each slot of the last segment, in ticks."""
        self._ladder = Ladder(
            self._random,
            ticks=profile.ticks,
            order_lots=profile.order_lots,
            update_id=profile.first_update_id,
            chained=kind == "spot",
        )
        self._trade_id = profile.first_trade_id
        self._aggregate_id = profile.first_aggregate_id

    def history(self) -> pl.DataFrame:
        """The history before the market begins: none of a symbol that is listed later."""
        return self._history_since(0)

    def recent_history(self) -> pl.DataFrame:
        """The part of it that is needed all the time."""
        return self._history_since(self._begin_ms - _RECENT_MS)

    def old_history(self) -> pl.DataFrame:
        """The rest of it."""
        return narrowed(self.history().filter(pl.col("open_time") < self._begin_ms - _RECENT_MS))

    def _history_since(self, since_ms: int) -> pl.DataFrame:
        if not self.life.is_listed_at_begin:
            return pl.DataFrame(schema=HISTORY)
        return synthetic_history(
            self.profile,
            seed=self._seed,
            begin_ms=self._begin_ms,
            trades_per_s=self._trades_per_s,
            since_ms=since_ms,
        )

    def past(self, history: Callable[[], pl.DataFrame]) -> MadePast | None:
        """The trades of its history; None of a symbol that is listed later."""
        if not self.life.is_listed_at_begin:
            return None
        profile = self.profile
        return MadePast(history, end_id=profile.first_trade_id, aggregate_end_id=profile.first_aggregate_id)

    def segment(self, begin_ms: int, end_ms: int) -> SymbolSegment:
        """The market between two times, in whole slots."""
        segment = self.play(begin_ms, end_ms).segment(self._aggregate_id)
        self._aggregate_id += segment.aggregates.height
        return segment

    def play(self, begin_ms: int, end_ms: int) -> EventLog:
        """The events of that time, of which no segment is made yet; `fairs` are those of its slots."""
        event_log = EventLog(self.encoder, self._ladder, book_ms=begin_ms - 1)
        given = iter(self._reference.fairs(begin_ms, end_ms)) if self._reference else None
        self.fairs = []
        for slot_ms in range(begin_ms, end_ms, _SLOT_MS):
            wildness, busyness = self._regime.step()
            if given is None:
                self._move(wildness)
            else:
                self._fair = next(given)
            self.fairs.append(self._fair)
            if self.life.state(slot_ms) is not State.TRADING:
                continue
            self._ladder.follow(self._fair)
            event_log.add_top(slot_ms, self._ladder.top())
            for time_ms in self._order_times(slot_ms, busyness):
                self._order(event_log, time_ms)
            diff = self._ladder.take_diff()
            if diff is not None:
                event_log.add_diff(slot_ms + _SLOT_MS - 1, diff)
        return event_log

    def _move(self, wildness: float) -> None:
        """Moves the fair price by a random step, with slight mean reversion to its start."""
        sigma = _SECOND_VOLATILITY * math.sqrt(_SLOT_MS / 1_000) * wildness
        pull = 1e-6 * math.log(self.profile.ticks / self._fair)
        step = _IN_COMMON * self._common.gauss(0.0, 1.0) + _ALONE * self._random.gauss(0.0, 1.0)
        self._fair *= math.exp(sigma * step + pull)

    def _order_times(self, slot_ms: int, busyness: float) -> list[int]:
        """Times of the orders in a slot, after its first and before its last millisecond."""
        expected = self._trades_per_s / _FILLS * _SLOT_MS / 1_000 * busyness * activity(slot_ms)
        count = _poisson(self._random, expected)
        random = self._random.random
        return sorted(slot_ms + 1 + int(random() * (_SLOT_MS - 2)) for _ in range(count))

    def _order(self, event_log: "EventLog", time_ms: int) -> None:
        random = self._random
        lots = max(int(self.profile.order_lots * random.lognormvariate(-0.6, 1.1)), 1)
        buy = random.random() < _BUYERS
        price, got = self._ladder.take(buy=buy, lots=lots)
        while got:
            # Most orders match one resting order, some match several.
            full = random.random() < 1 / _FILLS or got == 1 or event_log.fills >= _MOST_FILLS
            part = got if full else 1 + int(random.random() * (got - 1))
            event_log.add_trade(self._trade_id, time_ms, price, part, maker=not buy)
            self._trade_id += 1
            got -= part
        event_log.fills = 0
        event_log.add_top(time_ms, self._ladder.top())


class _Reference:
    """The price of the symbol that another one follows, with the deviation between the two venues."""

    def __init__(self, profile: Profile, seed: int, begin_ms: int, trades_per_s: float) -> None:
        leader = profile_of("spot", profile.reference)
        self._leader = _MarketMaker("spot", leader, seed, begin_ms, trades_per_s)
        self._scale = 10.0 ** (profile.decimals.price - leader.decimals.price)
        self._random = Random(f"{seed}:{profile.symbol}:deviation")  # noqa: S311  # a market, no secret
        self._deviation = 0.0

    def fairs(self, begin_ms: int, end_ms: int) -> Iterator[float]:
        """The fair price in each slot, in ticks of the follower."""
        self._leader.play(begin_ms, end_ms)
        for fair in self._leader.fairs:
            self._deviation = _STAYS * self._deviation + self._random.gauss(0.0, _DEVIATES)
            yield fair * self._scale * math.exp(self._deviation)


def _poisson(random: Random, expected: float) -> int:
    """A Poisson number; for a large mean drawn from the normal distribution."""
    if expected > _MANY:
        return max(round(random.gauss(expected, math.sqrt(expected))), 0)
    limit, product, count = math.exp(-expected), random.random(), 0
    while product > limit:
        product *= random.random()
        count += 1
    return count
