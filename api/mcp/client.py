"""An HTTP client of the REST API that unwraps its envelope."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote

import httpx
import msgspec
from msgspec import Struct

from flows.process.proxy import is_loopback, trusted_by
from flows.settings import Settings

ACCEPTED: Final = 202


class Failure(Exception):  # noqa: N818 - it becomes a reply
    """There is no data; the text states why and what to do. `code` is the API's, or `unreachable`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Answer(NamedTuple):
    """`data` of a response; where `accepted`, it describes a job that was started."""

    data: Any
    accepted: bool


class _Error(Struct, frozen=True):
    code: str
    message: str
    nearest: tuple[str, ...] = ()


class _Envelope(Struct, frozen=True):
    success: bool
    data: Any = None
    error: _Error | None = None


class RestClient:
    """A client of the API at the URL of the settings; use it as a context manager."""

    def __init__(self, settings: Settings, *, url: str = "", sees_accounts: bool = True) -> None:
        """`url` replaces the address of the settings. Unless it `sees_accounts`, its token is `api.token`."""
        api, tools = settings.api, settings.tools
        host = f"[{api.host}]" if ":" in api.host else api.host
        self.url = url.rstrip("/") or tools.api_url or f"http://{host}:{api.port}"
        token = api.best_token if sees_accounts else api.token
        self._client = httpx.AsyncClient(
            base_url=self.url,
            timeout=tools.timeout_s,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            trust_env=not is_loopback(self.url),
            verify=trusted_by(self.url),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def get(self, *path: str, **query: Any) -> Answer:
        """The response of `/api/…`, without parameters that are None. `Failure` for an error or no response."""
        return await self._ask("GET", path, query)

    async def post(self, *path: str, body: dict[str, Any]) -> Answer:
        """The response to a JSON body. `Failure` as of `get`."""
        return await self._ask("POST", path, {}, body)

    async def delete(self, *path: str, **query: Any) -> Answer:
        """The response to a removal. `Failure` as of `get`."""
        return await self._ask("DELETE", path, query)

    async def _ask(
        self, method: str, path: Sequence[str], query: dict[str, Any], body: dict[str, Any] | None = None
    ) -> Answer:
        try:
            response = await self._client.request(
                method,
                "/".join(["/api", *(quote(part, safe="") for part in path)]),
                params={name: value for name, value in query.items() if value is not None},
                json=body,
            )
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise Failure(
                "unreachable",
                f"the interface at {self.url} does not answer ({reason}); start it with python -m api, or all with "
                "marketflow run",
            ) from error
        try:
            envelope = msgspec.json.decode(response.content, type=_Envelope)
        except msgspec.DecodeError as error:
            raise Failure("unreachable", f"what answers at {self.url} is not the interface of marketflow") from error
        if not envelope.success:
            raise _failure(envelope.error, response.headers.get("Retry-After", ""))
        return Answer(envelope.data, response.status_code == ACCEPTED)


def _failure(error: _Error | None, retry_after: str) -> Failure:
    if error is None:
        return Failure("internal", "the interface gave no reason")
    said = {word.strip(",.;?") for word in error.message.split()}
    unsaid = [name for name in error.nearest if name not in said]
    nearest = f"; the nearest names are {', '.join(unsaid)}" if unsaid else ""
    wait = f"; try again in {retry_after} s" if retry_after else ""
    return Failure(error.code, f"{error.message}{nearest}{wait}")
