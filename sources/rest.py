"""The REST side of a venue: requests, and errors as values that say what to do."""

from typing import Any

import httpx
import msgspec

TIMEOUT_S = 10.0


class VenueError(Exception):
    """The venue refused a request, or could not be asked."""

    def __init__(self, message: str, *, status: int = 0, code: int = 0, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status; 0 when there was no answer."""
        self.code = code
        """The venue's own error code; 0 when it gave none."""
        self.retry_after_s = retry_after_s
        """How long the venue wants to be left alone; None when it did not say."""


class RestClient:
    """Asks one venue at one address; whoever opens it closes it."""

    def __init__(self, base_url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self.base_url = base_url.rstrip("/")
        self._client = httpx.AsyncClient(base_url=self.base_url, timeout=timeout_s)

    async def aclose(self) -> None:
        """Closes its connections."""
        await self._client.aclose()

    async def get(self, path: str, **params: str | int) -> Any:
        """The decoded answer; `VenueError` when there is none, or it is an error."""
        try:
            response = await self._client.get(path, params=params)
        except httpx.HTTPError as error:
            raise VenueError(f"{self.base_url}{path}: {str(error) or type(error).__name__}") from error
        if response.is_success:
            try:
                return msgspec.json.decode(response.content)
            except msgspec.MsgspecError as error:
                raise VenueError(
                    f"{self.base_url}{path}: the answer is no JSON", status=response.status_code
                ) from error
        raise _error_of(response)


def _error_of(response: httpx.Response) -> VenueError:
    try:
        body = msgspec.json.decode(response.content)
        code, text = int(body["code"]), str(body["msg"])
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
        code, text = 0, response.reason_phrase
    after = response.headers.get("Retry-After", "")
    return VenueError(
        f"{response.request.url}: {response.status_code}, {text}",
        status=response.status_code,
        code=code,
        retry_after_s=float(after) if after.isdigit() else None,
    )
