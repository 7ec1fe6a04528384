"""Reading what a stream has from any of its servers, without a consumer: also while it has no leader, or the cluster
has none, by which consumers are made. A server that is behind answers too, and may not have the very last messages.

Servers of 2.11 or later, and a stream with `allow_direct`.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from sinks.bus.consumer import MESSAGE_ID, bus_error
from sinks.bus.stored import BusError, Stored

MOST: Final = 500
"""Messages of an answer."""
BATCH_S: Final = 2.0
BEHIND_S: Final = 3.0
"""How long a server may be behind; what is not there then was deleted."""
PAUSE_S: Final = 0.1
_END: Final = "204"
_NOTHING: Final = "404"
_UNFINISHED: Final = ""


async def newest(client: Client, stream: str, subjects: Sequence[str], *, wait_s: float) -> list[Stored]:
    """See `BusClient.newest`."""
    found, status = await _answer(client, stream, {"multi_last": list(subjects)}, wait_s)
    if status not in (_END, _NOTHING):
        raise BusError(_unanswered(stream, status))
    return found


async def past(
    client: Client, stream: str, *, until: int, after: int = 0, since_ms: int = 0
) -> AsyncGenerator[Stored, None]:
    """See `BusClient.past`."""
    begin: dict[str, Any] = {"seq": after + 1}
    if since_ms:
        begin = {"start_time": datetime.fromtimestamp(since_ms / 1_000, UTC).isoformat().replace("+00:00", "Z")}
    loop = asyncio.get_running_loop()
    give_up = loop.time() + BEHIND_S
    while after < until:
        found, status = await _answer(client, stream, begin | {"batch": MOST}, BATCH_S)
        for one in found:
            yield one
        if found:
            after, give_up = found[-1].seq, loop.time() + BEHIND_S
            begin = {"seq": after + 1}
        elif loop.time() > give_up:
            if status == _NOTHING:
                return
            raise BusError(_unanswered(stream, status))
        else:
            await asyncio.sleep(PAUSE_S)


async def _answer(client: Client, stream: str, request: dict[str, Any], wait_s: float) -> tuple[list[Stored], str]:
    """The messages of an answer, and how it ended."""
    inbox = client.new_inbox()
    arrived: asyncio.Queue[Msg] = asyncio.Queue()

    async def on_message(message: Msg) -> None:
        arrived.put_nowait(message)

    found: list[Stored] = []
    try:
        subscription = await client.subscribe(inbox, cb=on_message)
        try:
            await client.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(request).encode(), reply=inbox)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    while "Status" not in (headers := (message := await arrived.get()).headers or {}):
                        found.append(_stored(message, headers))
                    return found, headers["Status"]
        finally:
            await subscription.unsubscribe()
    except (OSError, NatsError, TimeoutError) as error:
        raise bus_error(error) from error
    return found, _UNFINISHED


def _unanswered(stream: str, status: str) -> str:
    if not status:
        return "no answer"
    return f"no server gives messages of {stream} now ({status}): it needs allow_direct, and servers of 2.11 or later"


def _stored(message: Msg, headers: dict[str, str]) -> Stored:
    stamp = datetime.fromisoformat(headers["Nats-Time-Stamp"])
    return Stored(
        int(headers["Nats-Sequence"]), headers["Nats-Subject"], message.data, headers.get(MESSAGE_ID, ""),
        int(headers.get("Nats-Num-Pending", 0)), round(stamp.timestamp() * 1_000),
    )  # fmt: skip
