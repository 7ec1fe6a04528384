import msgspec
import pytest

from sources.replay.exchange.binance.charging import OverLimitError, charged, error_of
from sources.replay.exchange.binance.parameters import ApiError
from sources.replay.exchange.binance.rest import Answer
from sources.replay.exchange.limits import SPOT_LIMITS, Refusal
from tests.fakes.weighed_view import WeighedView

NOW_S = 1_767_225_610.0


def refused() -> Answer:
    raise ApiError(-1121, "Invalid symbol.")


def test_an_answer_costs_its_weight_and_a_refused_request_one() -> None:
    view = WeighedView()
    assert charged(view, NOW_S, lambda: Answer("body", 25)) == Answer("body", 25)
    assert view.used_weight(NOW_S) == 25
    with pytest.raises(ApiError, match="Invalid symbol"):
        charged(view, NOW_S, refused)
    assert view.used_weight(NOW_S) == 26


def test_what_is_over_the_limit_is_not_answered() -> None:
    view = WeighedView(msgspec.structs.replace(SPOT_LIMITS, weight_per_minute=10))
    with pytest.raises(OverLimitError) as over:
        charged(view, NOW_S, lambda: Answer("body", 11))
    assert over.value.refusal == Refusal(429, 50)


@pytest.mark.parametrize(
    ("refusal", "code", "begin"),
    [
        (Refusal(429, 50), -1003, "Too much request weight used; current limit is 10 request weight per 1 MINUTE."),
        (Refusal(418, 7), -1003, "Way too much request weight used; IP banned until 1767225617000."),
        (Refusal(400, 0, -1121, "as ordered"), -1121, "as ordered"),
    ],
)
def test_the_error_of_a_refusal(refusal: Refusal, code: int, begin: str) -> None:
    error = error_of(refusal, NOW_S, weight_per_minute=10)
    assert error is not None
    assert (error.status, error.code) == (refusal.status, code)
    assert error.message.startswith(begin)


def test_a_gateway_has_no_error_of_the_exchange() -> None:
    assert error_of(Refusal(503, 0), NOW_S, weight_per_minute=10) is None
