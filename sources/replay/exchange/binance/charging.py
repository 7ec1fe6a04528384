"""What a request costs, and what is answered beyond the limit: the same over REST and over the WebSocket API."""

from collections.abc import Callable
from http import HTTPStatus

from sources.replay.exchange.binance.parameters import ApiError
from sources.replay.exchange.binance.rest import Answer
from sources.replay.exchange.dialect import ExchangeView
from sources.replay.exchange.limits import Refusal

_REFUSED_WEIGHT = 1


class OverLimitError(Exception):
    """A request that is over the limit."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


def charged(view: ExchangeView, now_s: float, answer: Callable[[], Answer]) -> Answer:
    """The answer to a request at `now_s` (s since the epoch), with its weight charged; a request that is refused costs
    too. `ApiError` of the request, else `OverLimitError`.
    """
    try:
        found = answer()
    except ApiError:
        view.charge(_REFUSED_WEIGHT, now_s)
        raise
    refusal = view.charge(found.weight, now_s)
    if refusal is not None:
        raise OverLimitError(refusal)
    return found


def error_of(refusal: Refusal, now_s: float, *, weight_per_minute: int) -> ApiError | None:
    """The exchange's error for a refusal; None for one that has none, as of a gateway."""
    if refusal.text:
        return ApiError(refusal.code, refusal.text, status=refusal.status)
    if refusal.status == HTTPStatus.TOO_MANY_REQUESTS:
        text = (
            f"Too much request weight used; current limit is {weight_per_minute} request weight per 1 MINUTE. "
            "Please use WebSocket Streams for live updates to avoid polling the API."
        )
        return ApiError(-1003, text, status=refusal.status)
    if refusal.status == HTTPStatus.IM_A_TEAPOT:  # the exchange's status for a ban
        until_ms = int((now_s + refusal.retry_after_s) * 1_000)
        text = (
            f"Way too much request weight used; IP banned until {until_ms}. "
            "Please use WebSocket Streams for live updates to avoid bans."
        )
        return ApiError(-1003, text, status=refusal.status)
    return None
