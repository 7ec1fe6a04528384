"""The replay exchange itself: a market, the clients that listen to it, and what goes wrong on demand.

It knows no HTTP; `server.py` puts it on a port.
"""

import asyncio
from typing import Any

import structlog
from aiohttp import WSCloseCode, web

from sources.replay.exchange.fanout import Fanout
from sources.replay.exchange.limits import Limits, Refusal, WeightBudget, limits_of
from sources.replay.exchange.rest import symbol_names
from sources.replay.exchange.routes import Handshake
from sources.replay.exchange.session import Session, open_session
from sources.replay.faults.injector import FaultInjector
from sources.replay.faults.orders import AnyFault, Drop, HalfOpen, Send, Shutdown, WrongAnswer
from sources.replay.market.market import Market, Message
from sources.replay.market.player import Player, Speed
from sources.replay.protocol.frames import shutdown_notice

_log = structlog.get_logger(__name__)


class ReplayExchange:
    """An exchange that plays a market to its clients. Everything here belongs to one event loop.

    The market begins when somebody has subscribed and the subscriptions have then been unchanged for `settle_s`, so
    that its first messages are not lost to nobody; with `start_now` it begins at once.
    """

    def __init__(
        self,
        market: Market,
        *,
        speed: Speed = "max",
        limits: Limits | None = None,
        settle_s: float = 0.0,
        start_now: bool = False,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.market = market
        """What is played."""
        self.limits = limits or limits_of(market.kind)
        """What clients are allowed."""
        self.finished = asyncio.Event()
        """Everything is played and written to the clients, or playing has failed."""
        self.failed = asyncio.Event()
        """The market raised an error; it is logged, and raised where the exchange was started."""
        self.ws_url = ""
        """Base address of the streams, without `/ws` or `/stream`; empty until it is served."""
        self.rest_url = ""
        """Base address of REST, without `/api` or `/fapi`."""
        self._symbols = symbol_names(market)
        self._speed: Speed = speed
        self._settle_s = settle_s
        self._start_now = start_now
        self._budget = WeightBudget(self.limits)
        self._mischief = FaultInjector(market)
        self._audience = Fanout()
        self._sessions: dict[int, Session] = {}
        self._opened = 0
        self._heard = asyncio.Event()
        self._changes = 0
        self._background: set[asyncio.Task[None]] = set()
        self._player = Player(
            market,
            speed=speed,
            wanted=self._audience.wants,
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
        """What the exchange says the time is, ms UTC."""
        return self._player.now_ms + self._mischief.skew_ms

    def depth(self, symbol: str, limit: int) -> dict[str, Any] | None:
        """The book of a symbol as it is shown to clients; None while the market has none."""
        return self._mischief.depth(symbol, limit)

    def pause(self) -> None:
        """Stops the market and its time."""
        self._player.pause()

    def resume(self) -> None:
        """Lets the market go on."""
        self._player.resume()

    async def run(self) -> None:
        """Plays the market to its end. Clients and REST are served before, meanwhile and afterwards."""
        try:
            if not self._start_now:
                await self._audience_settles()
            _log.info("market begins", kind=self.market.kind, at_ms=self.market.now_ms, speed=self._speed)
            await self._player.play()
            self._audience.deliver(self._mischief.release())
            for session in tuple(self._sessions.values()):
                await session.drained()
            _log.info("market ends", at_ms=self.market.now_ms, played=self._player.played)
        except Exception:
            self.failed.set()
            _log.exception("market failed", played=self._player.played)
            raise
        finally:
            self.finished.set()

    async def _audience_settles(self) -> None:
        seen = -1
        while seen != self._changes or not self._heard.is_set():
            await self._heard.wait()
            seen = self._changes
            await asyncio.sleep(self._settle_s)

    async def _ready(self) -> None:
        """Somebody listens, and everybody has room for more: with nobody there, as fast as they read is not at all."""
        if not self._start_now:
            await self._heard.wait()
        for session in tuple(self._sessions.values()):
            await session.drained()

    def _deliver(self, turn: list[Message]) -> None:
        self._audience.deliver(turn if self._mischief.is_quiet else self._mischief.on_messages(turn))

    # --- the clients -------------------------------------------------------------------------------------------------

    async def attend(self, request: web.Request, opening: Handshake) -> web.WebSocketResponse:
        """Serves one client until its connection ends."""
        self._opened += 1
        session, response = await open_session(
            request,
            self._opened,
            kind=self.market.kind,
            opening=opening,
            limits=self.limits,
            answer=self._mischief.answer,
        )
        self._sessions[session.number] = session
        self._seat(session)
        try:
            await session.serve(self._seat)
        finally:
            del self._sessions[session.number]
            self._audience.dismiss(session)
            self._audience_changed()
        return response

    def _seat(self, session: Session) -> None:
        self._audience.seat(session)
        self._audience_changed()

    def _audience_changed(self) -> None:
        self._changes += 1
        if self._audience.streams:
            self._heard.set()
        else:
            self._heard.clear()

    def charge(self, weight: int, now_s: float) -> Refusal | None:
        """Charges a REST request; None when it may be answered."""
        return self._budget.charge(weight, now_s)

    def used_weight(self, now_s: float) -> int:
        """REST weight spent in this minute."""
        return self._budget.used(now_s)

    # --- what goes wrong ---------------------------------------------------------------------------------------------

    def inject(self, fault: AnyFault) -> None:
        """Makes something go wrong; `ValueError` for a client that does not exist, or when too many faults are on."""
        match fault:
            case Drop(client=client, close_code=code):
                reason = fault.reason.encode() + bytes.fromhex(fault.reason_hex)
                for session in self._chosen(client):
                    session.abort() if code is None else session.close(code, reason)
            case Send(client=client):
                payload = bytes.fromhex(fault.hex) if fault.hex is not None else (fault.text or "").encode()
                for session in self._chosen(client):
                    session.send(payload, binary=fault.binary, times=fault.times)
            case HalfOpen(client=client):
                for session in self._chosen(client):
                    session.fall_silent()
            case Shutdown(close_after_s=after_s):
                self._spawn(self._shut_down(after_s))
            case _:
                self._mischief.add(fault)
        _log.info("fault injected", fault=fault)

    def clear_faults(self) -> None:
        """Switches off what is on, and sends what was held back. What happened to connections is not undone."""
        self._audience.deliver(self._mischief.clear())

    def refusal(self, path: str) -> Refusal | None:
        """The error that a request for `path` is to get on demand."""
        fault = self._mischief.refusal(path)
        return Refusal(fault.status, fault.retry_after_s, fault.code, fault.text) if fault else None

    def wrong_answer(self, path: str) -> WrongAnswer | None:
        """What is wrong on demand with the answer to a request for `path`."""
        return self._mischief.wrong_answer(path)

    def _chosen(self, client: int | None) -> list[Session]:
        if client is None:
            return list(self._sessions.values())
        if client not in self._sessions:
            raise ValueError(f"no client {client}; connected are {sorted(self._sessions) or 'none'}")
        return [self._sessions[client]]

    async def _shut_down(self, after_s: float) -> None:
        told = list(self._sessions.values())
        for session in told:
            session.notify(shutdown_notice(self.now_ms))
        await asyncio.sleep(after_s)
        for session in told:
            session.close(WSCloseCode.GOING_AWAY, "Server shutdown")

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # --- the whole ---------------------------------------------------------------------------------------------------

    def state(self, now_s: float) -> dict[str, Any]:
        """What is going on, for the control endpoint."""
        return {
            "kind": self.market.kind,
            "symbols": self._symbols,
            "speed": self._speed,
            "now": self.now_ms,
            "played": self._player.played,
            "paused": self._player.paused,
            "finished": self.finished.is_set(),
            "used_weight": self.used_weight(now_s),
            "clients": [session.report() for session in self._sessions.values()],
            "faults": self._mischief.report(),
        }

    async def close(self) -> None:
        """Sends every client away."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        for session in tuple(self._sessions.values()):
            session.close(WSCloseCode.GOING_AWAY, "Server shutdown")
