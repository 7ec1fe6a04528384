"""The checklist's rules of requests over the WebSocket."""

from typing import Any, Final

from sources.replay.conformance.peer import Conversation, Peer
from sources.replay.conformance.rules import Rule, UnseenError, require

AREA: Final = "requests"
QUIET_S: Final = 2.0
"""What was subscribed must be silent for so long."""
_MALFORMED: Final = 2
_NO_JSON: Final = 3
_MICROSECONDS: Final = 1e15


def _request(method: str, *params: Any, number: int = 1) -> dict[str, Any]:
    return {"method": method, "params": list(params), "id": number}


def _trades(peer: Peer) -> str:
    return f"{peer.symbol.lower()}@aggTrade"


def _books(peer: Peer) -> str:
    return f"{peer.symbol.lower()}@depth@100ms"


async def _require_done(line: Conversation, request: dict[str, Any], result: object = None) -> None:
    reply = await line.reply(request)
    require(reply == {"result": result, "id": request["id"]}, f"{request['method']} has another reply", reply)


async def _require_error(line: Conversation, request: object, code: int) -> None:
    """Errors come flat, or wrapped with the id of the request."""
    reply = await line.reply(request)
    error = reply.get("error", reply)
    require(isinstance(error, dict) and error.get("code") == code, f"the reply is no error {code}", reply)
    require(isinstance(error.get("msg"), str), "the error has no text", reply)


async def _subscribe(peer: Peer) -> None:
    books = _books(peer)
    async with peer.open(f"{peer.route_of(books)}/ws") as line:
        await _require_done(line, _request("SUBSCRIBE", books, number=11))
        await _require_done(line, _request("LIST_SUBSCRIPTIONS", number=12), [books])
        message = await line.receive()
        while "result" in message:
            message = await line.receive()
        require(message.get("e") == "depthUpdate", "a raw message is no event", message)


async def _unsubscribe(peer: Peer) -> None:
    books = _books(peer)
    async with peer.open(f"{peer.route_of(books)}/ws/{books}") as line:
        await _require_done(line, _request("UNSUBSCRIBE", books))
        require(await line.is_silent(QUIET_S), "messages go on behind the reply")
        await _require_done(line, _request("LIST_SUBSCRIPTIONS"), [])


async def _property(peer: Peer) -> None:
    books = _books(peer)
    async with peer.open(f"{peer.route_of(books)}/ws/{books}") as line:
        await _require_done(line, _request("GET_PROPERTY", "combined"), False)
        await _require_done(line, _request("SET_PROPERTY", "combined", True))
        await _require_done(line, _request("GET_PROPERTY", "combined"), True)
        message = await line.receive()
        while "stream" not in message:
            message = await line.receive()
        require(message["stream"] == books, "a combined message has another stream", message)


async def _unknown(peer: Peer) -> None:
    async with peer.open(f"{peer.route_of(_books(peer))}/ws") as line:
        await _require_done(line, _request("SUBSCRIBE", "nosuchpair@depth"))
        require(await line.is_silent(QUIET_S), "an unknown stream sends messages")


async def _unknown_method(peer: Peer) -> None:
    async with peer.open(f"{peer.route_of(_books(peer))}/ws") as line:
        await _require_error(line, _request("NO_SUCH_METHOD"), _MALFORMED)


async def _no_json(peer: Peer) -> None:
    async with peer.open(f"{peer.route_of(_books(peer))}/ws") as line:
        await _require_error(line, "{", _NO_JSON)


async def _ping(peer: Peer) -> None:
    async with peer.open(f"{peer.route_of(_books(peer))}/ws") as line:
        await line.answers_ping(b"marketflow")


async def _microseconds(peer: Peer) -> None:
    async with peer.open(f"/ws/{_books(peer)}?timeUnit=MICROSECOND") as line:
        message = await line.receive()
        require(message["E"] > _MICROSECONDS, "E is not in microseconds", message)


async def _wrong_route(peer: Peer) -> None:
    if not peer.seen.of(_trades(peer)):
        raise UnseenError("no trade came on its own route either")
    async with peer.open("/public/ws") as line:
        await _require_done(line, _request("SUBSCRIBE", _trades(peer)))
        require(await line.is_silent(QUIET_S), "a stream of /market sends on /public")


RULES: Final = (
    Rule(AREA, "SUBSCRIBE is acknowledged, listed and followed by messages", _subscribe),
    Rule(AREA, "UNSUBSCRIBE is acknowledged and followed by silence", _unsubscribe),
    Rule(AREA, "combined is off on /ws, and SET_PROPERTY turns it on", _property),
    Rule(AREA, "an unknown stream is acknowledged and silent", _unknown),
    Rule(AREA, "an unknown method is error 2", _unknown_method),
    Rule(AREA, "what is no JSON is error 3", _no_json),
    Rule(AREA, "a ping is answered with its payload", _ping),
)
"""Of both markets."""

SPOT_RULES: Final = (Rule(AREA, "timeUnit=MICROSECOND gives microseconds", _microseconds),)
USDM_RULES: Final = (Rule(AREA, "a stream of another route is acknowledged and silent", _wrong_route),)
