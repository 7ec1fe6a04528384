"""What the REST queries of every venue share: one client, and the limit of requests."""

from typing import Self

from sources.rest.client import RestClient
from sources.rest.rate_limit import RateLimiter


class RestQueries:
    """Queries over one client, which is closed with the asynchronous context."""

    def __init__(self, client: RestClient) -> None:
        self._client = client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.aclose()

    @property
    def client(self) -> RestClient:
        """The client that all queries share."""
        return self._client

    @property
    def rate_limit(self) -> RateLimiter:
        """The limit of requests, and what the venue says of it."""
        return self._client.rate_limit
