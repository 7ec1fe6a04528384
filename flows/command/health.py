"""`marketflow health`: one question to one process, for whatever watches it: a container's health check, a probe."""

import json
import time
from enum import StrEnum
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from flows.command.examples import epilog
from flows.command.outcome import CommandError

if TYPE_CHECKING:
    from flows.settings import Settings

MOST_BYTES: Final = 1_000_000
"""Of an answer of the API; a longer one is none of ours."""
LONGEST_REASON: Final = 500


class Asked(StrEnum):
    """What is asked."""

    READY = "ready"
    """Everything is there and current: `/health/ready` of the API."""
    LIVE = "live"
    """The API's process answers: `/health/live`."""
    FLOW = "flow"
    """A heartbeat of the flow comes over its hub."""


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=epilog("health"))(health)


def health(
    what: Annotated[Asked, typer.Argument(metavar="ready|live|flow", help="What is asked.")] = Asked.READY,
    *,
    timeout_s: Annotated[
        float, typer.Option("--timeout", metavar="S", min=0.1, max=3_600, help="Longest wait, s.")
    ] = 5.0,
) -> None:
    """Asks the API or the flow of these settings whether it is well: exit code 0, or 1 and the reason."""
    from flows.settings import load_settings

    settings = load_settings()
    try:
        if what is Asked.FLOW:
            _await_heartbeat(settings, timeout_s)
        else:
            _ask_api(settings, f"/health/{what}", timeout_s)
    except (OSError, HTTPException) as error:
        asked = f"the hub at {_hub_of(settings)}" if what is Asked.FLOW else f"the interface at {_api_of(settings)}"
        raise CommandError(f"{asked} does not answer: {str(error) or type(error).__name__}") from error
    typer.echo(f"{what}: yes")


def _hub_of(settings: "Settings") -> str:
    from flows.settings.values import reachable

    return f"ws://{reachable(settings.hub.host)}:{settings.hub.port}/ws"


def _api_of(settings: "Settings") -> str:
    from flows.settings.values import reachable

    return f"http://{reachable(settings.api.host)}:{settings.api.port}"


def _ask_api(settings: "Settings", path: str, timeout_s: float) -> None:
    """`CommandError` when the answer is no, with its reason; `OSError` or `HTTPException` when there is none."""
    from flows.foreign import visible
    from flows.settings.values import reachable

    connection = HTTPConnection(reachable(settings.api.host).strip("[]"), settings.api.port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read(MOST_BYTES)
    finally:
        connection.close()
    if response.status != 200:  # noqa: PLR2004 - the only status that means yes
        raise CommandError(f"HTTP {response.status}: {visible(_message_in(body), limit=LONGEST_REASON)}")


def _message_in(body: bytes) -> str:
    """The message in the API's own form of an error; otherwise the text as it is."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return body.decode(errors="replace").strip()


def _await_heartbeat(settings: "Settings", timeout_s: float) -> None:
    """`OSError` when no heartbeat comes in time, `CommandError` when the hub refuses."""
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect

    token = settings.hub.token
    address = f"{_hub_of(settings)}?channels=Status"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    until_s = time.monotonic() + timeout_s
    try:
        with connect(
            address, additional_headers=headers, proxy=None, open_timeout=timeout_s, compression=None, close_timeout=0.5
        ) as hub:
            while not is_heartbeat(json.loads(hub.recv(timeout=max(0.0, until_s - time.monotonic())))):
                pass
    except TimeoutError as error:
        raise TimeoutError(f"no heartbeat came within {timeout_s:g} s") from error
    except WebSocketException as error:
        raise CommandError(f"the hub at {_hub_of(settings)}: {error}") from error


def is_heartbeat(message: Any) -> bool:
    """Whether a message of the hub is the flow's sign of life."""
    return bool(message.get("type") == "Status" and message.get("data", {}).get("state") == "alive")
