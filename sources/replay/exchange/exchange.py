"""The replay exchange: a market, its clients, and the faults ordered.

No HTTP here: `server.py` serves it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec
import structlog
from aiohttp import WSCloseCode, web

from sources.replay.exchange.backlog import Backlog
from sources.replay.exchange.binance.dialect import BinanceDialect
from sources.replay.exchange.dialect import Dialect, symbol_names
from sources.replay.exchange.fanout import Fanout
from sources.replay.exchange.limits import Limits, Refusal, WeightLimiter
from sources.replay.exchange.session import Session, open_session
from sources.replay.faults.budget import Budget
from sources.replay.faults.injector import FaultInjector
from sources.replay.faults.orders import AnyFault, Drop, HalfOpen, Send, Shutdown, WrongAnswer
from sources.replay.market.lives import LifeOrder
from sources.replay.market.market import Market, Message
from sources.replay.market.player import Player, Speed
from sources.replay.protocol.conversation import Conversation

MOST_SHUTDOWNS = 10
"""Most announced shutdowns that have not ended yet."""

_log = structlog.get_logger(__name__)


class ReplayExchange:
    """An exchange that plays a market to its clients. Everything here belongs to one event loop.

    The market begins when there is a subscription and the subscriptions have been unchanged for `settle_s`, so that
    clients receive its first messages; with `start_now` it begins at once. With `wall_ms` it begins with the first
    request or connection, and is moved so that it is under way by that clock: its first part is played unseen.
    """

    def __init__(
        self,
        market: Market,
        *,
        dialect: Dialect | None = None,
        speed: Speed = "max",
        limits: Limits | None = None,
        settle_s: float = 0.0,
        start_now: bool = False,
        wall_ms: Callable[[], int] | None = None,
        plays: str = "",
    ) -> None:
        """`dialect` is the protocol that it speaks; default Binance's. `plays` says what is played, for people."""
        loop = asyncio.get_running_loop()
        self.market = market
        """The market that is played."""
        self.dialect = dialect or BinanceDialect(market.kind)
        """The venue's protocol."""
        self.limits = limits or self.dialect.limits
        """The limits for clients."""
        self.finished = asyncio.Event()
        """Set when all messages are written to the clients, or the market has failed."""
        self.failed = asyncio.Event()
        """Set when the market raised an error; it is logged, and `run` raises it."""
        self.ws_url = ""
        """Base address of the streams, without `/ws` or `/stream`; empty until it is served."""
        self.rest_url = ""
        """Base address of REST, without `/api` or `/fapi`."""
        self._settle_s = settle_s
        self._start_now = start_now
        self._wall_ms = wall_ms
        self._plays = plays
        self._begin_ms = market.now_ms
        self._contacted = asyncio.Event()
        self._weights = WeightLimiter(self.limits)
        self._budget = Budget(loop.time, most_bytes_per_s=self.limits.fault_bytes_per_s)
        self._faults = FaultInjector(market, self._budget, self.dialect.with_clock, self.dialect.forms)
        self._backlog = Backlog(most=self.limits.backlog_bytes, most_in_all=self.limits.all_backlog_bytes)
        self._fanout = Fanout()
        self._sessions: dict[int, Session] = {}
        self._opened = 0
        self._subscribed = asyncio.Event()
        self._changes = 0
        self._background: set[asyncio.Task[None]] = set()
        self._shutdowns = 0
        self._player = Player(
            market,
            speed=speed,
            wanted=self._fanout.wants,
            deliver=self._deliver,
            ready=self._ready,
            monotonic_s=loop.time,
        )

    @property
    def clients(self) -> int:
        """How many connections are open."""
        return len(self._sessions)

    # --- the market --------------------------------------------------------------------------------------------------

    @property
    def now_ms(self) -> int:
        """The exchange's time including clock skew, ms UTC."""
        return self._player.now_ms + self._faults.skew_ms

    @property
    def true_ms(self) -> int:
        """The same without clock skew."""
        return self._player.now_ms

    def depth(self, symbol: str, limit: int) -> dict[str, Any] | None:
        """The book of a symbol as clients see it; None while the market has none."""
        return self._faults.depth(symbol, limit)

    def pause(self) -> None:
        """Stops the market and its time."""
        self._player.pause()

    def resume(self) -> None:
        """Resumes the market."""
        self._player.resume()

    def change_speed(self, speed: float) -> None:
        """Lets the market's time go on at another speed; `ValueError` where clients set the pace."""
        self._player.change_speed(speed)
        _log.info("speed_changed", speed=speed, at_ms=self.now_ms)

    def skip(self, to_ms: Callable[[], int]) -> None:
        """Plays the market up to a time before anything is served; see `Player.skip`."""
        self._player.skip(to_ms)

    def contact(self) -> None:
        """Called before anything is answered: the first call begins a market that waits for it."""
        if self._wall_ms is None or self._contacted.is_set():
            return
        self._contacted.set()
        self.market.move_to(self._wall_ms())
        self._begin_ms = self.market.now_ms
        if self._player.speed != "max":
            self._player.skip(self._wall_ms)

    async def run(self) -> None:
        """Plays the market to its end. Clients and REST are served before, during and after it."""
        try:
            if self._wall_ms is not None:
                await self._contacted.wait()
            elif not self._start_now:
                await self._subscriptions_settle()
            _log.info("market_started", kind=self.market.kind, at_ms=self.market.now_ms, speed=self._player.speed)
            await self._player.play()
            self._fanout.deliver(self._faults.release())
            for session in tuple(self._sessions.values()):
                await session.drained()
            _log.info("market_finished", at_ms=self.market.now_ms, played=self._player.played)
        except Exception:
            self.failed.set()
            _log.exception("market_failed", played=self._player.played)
            raise
        finally:
            self.finished.set()

    async def _subscriptions_settle(self) -> None:
        seen = -1
        while seen != self._changes or not self._subscribed.is_set():
            await self._subscribed.wait()
            seen = self._changes
            await asyncio.sleep(self._settle_s)

    async def _ready(self) -> None:
        """Waits until there is a subscription and every client has room for more.

        Clients set the pace, so without one the market stands still.
        """
        if not self._start_now:
            await self._subscribed.wait()
        for session in tuple(self._sessions.values()):
            await session.drained()

    def publish(self, messages: Sequence[Message]) -> None:
        """Sends messages that are not the market's to the subscribers of their streams; faults act on them too."""
        self._deliver(list(messages))

    def _deliver(self, turn: list[Message]) -> None:
        turn = self._fanout.numbered(turn)
        self._fanout.deliver(turn if self._faults.is_idle else self._faults.on_messages(turn))

    # --- the clients -------------------------------------------------------------------------------------------------

    async def serve(self, request: web.Request, conversation: Conversation) -> web.WebSocketResponse:
        """Serves one connection until it ends."""
        self._opened += 1
        session, response = await open_session(
            request,
            self._opened,
            conversation=conversation,
            limits=self.limits,
            backlog=self._backlog,
            answer=self._faults.answer,
        )
        self._sessions[session.number] = session
        self._subscribe(session)
        try:
            await session.serve(self._subscribe)
        finally:
            del self._sessions[session.number]
            self._fanout.unsubscribe(session)
            self._on_subscriptions_changed()
        return response

    def _subscribe(self, session: Session) -> None:
        self._fanout.subscribe(session)
        self._on_subscriptions_changed()

    def _on_subscriptions_changed(self) -> None:
        self._changes += 1
        if self._fanout.streams:
            self._subscribed.set()
        else:
            self._subscribed.clear()

    def charge(self, weight: int, now_s: float) -> Refusal | None:
        """Charges the weight of a REST request; None when it may be answered."""
        return self._weights.charge(weight, now_s)

    def used_weight(self, now_s: float) -> int:
        """REST weight used in this minute."""
        return self._weights.used(now_s)

    def change_life(self, order: LifeOrder) -> None:
        """Changes when a symbol of a synthetic market trades; `ValueError` where that cannot be."""
        self.market.lives.order(order, self.market.now_ms)
        _log.info("life_changed", symbol=order.symbol, change=order.change, after_s=order.after_s, for_s=order.for_s)

    # --- faults ------------------------------------------------------------------------------------------------------

    def inject(self, fault: AnyFault) -> None:
        """Starts a fault; `ValueError` for a client that does not exist, or when too many faults are active."""
        match fault:
            case Drop(client=client, close_code=code):
                reason = fault.reason.encode() + bytes.fromhex(fault.reason_hex)
                for session in self._chosen(client):
                    session.abort() if code is None else session.close(code, reason)
            case Send(client=client):
                chosen, payload = self._chosen(client), fault.payload
                if not self._faults.makes(len(payload) * fault.times):
                    raise ValueError("the faults have made as much as they may in this second; order it again")
                for session in chosen:
                    session.send(payload, binary=fault.binary, times=fault.times)
            case HalfOpen(client=client):
                for session in self._chosen(client):
                    session.fall_silent()
            case Shutdown(close_after_s=after_s):
                if self._shutdowns >= MOST_SHUTDOWNS:
                    raise ValueError(f"{MOST_SHUTDOWNS} shutdowns are announced already")
                self.spawn(self._shut_down(after_s))
            case _:
                self._faults.add(fault)
        _log.info("fault_injected", fault=fault)

    def clear_faults(self) -> None:
        """Clears the active faults and sends the messages held back. Faults of connections are not undone."""
        self._fanout.deliver(self._faults.clear())

    def refusal(self, path: str) -> Refusal | None:
        """The error ordered for a request for `path`."""
        fault = self._faults.refusal(path)
        return Refusal(fault.status, fault.retry_after_s, fault.code, fault.text) if fault else None

    def fault_makes(self, size: int) -> bool:
        """Counts `size` bytes that a fault sends beside the messages; False when it must not in this second."""
        return self._faults.makes(size)

    def wrong_answer(self, path: str) -> WrongAnswer | None:
        """The wrong answer ordered for a request for `path`."""
        return self._faults.wrong_answer(path)

    def _chosen(self, client: int | None) -> list[Session]:
        if client is None:
            return list(self._sessions.values())
        if client not in self._sessions:
            raise ValueError(f"no client {client}; connected are {sorted(self._sessions) or 'none'}")
        return [self._sessions[client]]

    async def _shut_down(self, after_s: float) -> None:
        notified = list(self._sessions.values())
        notice = self.dialect.farewell(self.now_ms)
        self._shutdowns += 1
        try:
            if notice is not None:
                for session in notified:
                    session.notify(notice)
            await asyncio.sleep(after_s)
        finally:
            self._shutdowns -= 1
        for session in notified:
            session.close(WSCloseCode.GOING_AWAY, "Server shutdown")

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs work beside the market, at most until the exchange is closed."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # --- state and end -----------------------------------------------------------------------------------------------

    def state(self, now_s: float) -> dict[str, Any]:
        """The state as the control endpoint returns it."""
        return {
            "venue": self.dialect.venue,
            "kind": self.market.kind,
            "symbols": symbol_names(self.market),
            "lives": self.market.lives.report(self.market.now_ms),
            "plays": self._plays,
            "speed": self._player.speed,
            "begin": self._begin_ms,
            "now": self.now_ms,
            "played": self._player.played,
            "paused": self._player.paused,
            "finished": self.finished.is_set(),
            "used_weight": self.used_weight(now_s),
            "clients": [session.report() for session in self._sessions.values()],
            "backlog_bytes": self._backlog.total,
            "clients_cut": self._backlog.refused,
            "fault_budget": msgspec.structs.asdict(self._budget.state()),
            "faults": self._faults.report(),
        }

    async def close(self) -> None:
        """Closes every connection."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        for session in tuple(self._sessions.values()):
            session.close(WSCloseCode.GOING_AWAY, "Server shutdown")
