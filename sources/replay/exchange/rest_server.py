"""REST over HTTP: a venue's answers, and what faults make of them."""

import asyncio
from contextlib import suppress
from http import HTTPStatus

import msgspec
from aiohttp import web

from flows.clock import wall_ms
from sources.replay.exchange.dialect import BODY, Reply
from sources.replay.exchange.exchange import ReplayExchange
from sources.replay.faults.answers import WrongBody, wrong_body

_LOOK_S = 0.05
"""How often a stalled answer checks whether its client has disconnected."""
_NEXT_PIECE_S = 0.002
"""Between two pieces of an endless answer."""
_PREFLIGHT = {"Access-Control-Allow-Headers": "*", "Access-Control-Max-Age": "600"}


class RestServer:
    """Serves the REST interface of an exchange over HTTP."""

    def __init__(self, exchange: ReplayExchange) -> None:
        self._exchange = exchange
        self._api = exchange.dialect.rest(exchange)

    async def on_request(self, request: web.Request) -> web.StreamResponse:
        """Answers a request for any path without a handler of its own."""
        now_s = wall_ms() / 1_000
        self._exchange.contact()
        if request.can_read_body:
            request[BODY] = await request.read()
        if request.method == "OPTIONS":
            return web.Response(status=HTTPStatus.OK, headers={**self._api.headers(now_s), **_PREFLIGHT})
        ordered = self._exchange.refusal(request.path)
        reply = self._api.reply(request, now_s) if ordered is None else self._api.refused(ordered, now_s)
        fault = self._exchange.wrong_answer(request.path) if reply.status == HTTPStatus.OK else None
        if fault is not None:
            wrong = wrong_body(fault, reply.body, self._exchange.dialect.forms)
            if self._exchange.fault_makes(len(wrong.body)):
                return await self._send_wrong(request, wrong, now_s)
        return self._response(reply, now_s)

    async def _send_wrong(self, request: web.Request, wrong: WrongBody, now_s: float) -> web.StreamResponse:
        """Sends the body; one that goes on ends when the client disconnects or the server closes."""
        kind = "text/html" if wrong.is_page else "application/json"
        response = web.StreamResponse(headers={**self._api.headers(now_s), "Content-Type": f"{kind};charset=utf-8"})
        if wrong.goes_on is None:
            response.content_length = len(wrong.body)
        with suppress(ConnectionResetError):  # the client has gone, which is what it should do
            await response.prepare(request)
            await response.write(wrong.body)
            while wrong.goes_on is not None and request.transport is not None:
                if wrong.goes_on and self._exchange.fault_makes(len(wrong.goes_on)):
                    await response.write(wrong.goes_on)
                await asyncio.sleep(_NEXT_PIECE_S if wrong.goes_on else _LOOK_S)
            await response.write_eof()
        return response

    def _response(self, reply: Reply, now_s: float) -> web.Response:
        is_page = isinstance(reply.body, str)
        return web.Response(
            status=reply.status,
            headers={**self._api.headers(now_s), **reply.headers},
            body=reply.body.encode() if is_page else msgspec.json.encode(reply.body),
            content_type="text/html" if is_page else "application/json",
            charset="utf-8",
        )
