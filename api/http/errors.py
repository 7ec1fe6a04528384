"""Error responses: one form, with a code for programs and a text for people."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

from msgspec import Struct

from api.analytics.profile import Collecting

STATUS: Final[Mapping[str, HTTPStatus]] = {
    "bad_request": HTTPStatus.BAD_REQUEST,
    "ambiguous_symbol": HTTPStatus.BAD_REQUEST,
    "range_too_large": HTTPStatus.BAD_REQUEST,
    "unauthorized": HTTPStatus.UNAUTHORIZED,
    "wrong_origin": HTTPStatus.FORBIDDEN,
    "wrong_host": HTTPStatus.FORBIDDEN,
    "no_right": HTTPStatus.FORBIDDEN,
    "not_found": HTTPStatus.NOT_FOUND,
    "unknown_symbol": HTTPStatus.NOT_FOUND,
    "unknown_venue": HTTPStatus.NOT_FOUND,
    "no_data": HTTPStatus.NOT_FOUND,
    "collecting": HTTPStatus.CONFLICT,
    "conflict": HTTPStatus.CONFLICT,
    "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "request_timeout": HTTPStatus.REQUEST_TIMEOUT,
    "body_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "unsupported_media_type": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "internal": HTTPStatus.INTERNAL_SERVER_ERROR,
    "too_many_connections": HTTPStatus.SERVICE_UNAVAILABLE,
    "not_ready": HTTPStatus.SERVICE_UNAVAILABLE,
    "unreadable_data": HTTPStatus.INTERNAL_SERVER_ERROR,
    "store_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "trade_store_absent": HTTPStatus.SERVICE_UNAVAILABLE,
}
"""Every code and its HTTP status."""


class Problem(Exception):  # noqa: N818 - it becomes a response
    """Ends a request with an error response; the text is for the caller."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        nearest: Sequence[str] = (),
        retry_after_s: int = 0,
        collecting: Collecting | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.nearest = tuple(nearest)
        """Similar names that exist."""
        self.retry_after_s = retry_after_s
        """Seconds after which to try again; 0: no statement."""
        self.collecting = collecting
        """Progress, where too few trades are stored."""

    @property
    def status(self) -> HTTPStatus:
        """The HTTP status of its code."""
        return STATUS[self.code]


class ErrorBody(Struct, frozen=True):
    """Why there is no data. `request_id` identifies the request in the log."""

    code: str
    message: str
    request_id: str
    nearest: tuple[str, ...] = ()
    collecting: Collecting | None = None
