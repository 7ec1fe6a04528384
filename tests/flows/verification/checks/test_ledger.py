from flows.model import Incident
from flows.verification.checks.ledger import Ledger


def incident(kind: str, begin: int, end: int, first_id: int = -1, last_id: int = -1) -> Incident:
    return Incident(kind, "binance", "BTCUSDT", begin, end, "", "", first_id, last_id)  # type: ignore[arg-type]


def test_a_hole_is_named_by_all_its_ids() -> None:
    ledger = Ledger(
        [incident("gap", 0, 9, 10, 12), incident("store_outage", 0, 9, 13, 20), incident("repair", 0, 9, 30, 40)]
    )

    assert ledger.names(10, 20)
    assert ledger.names(11, 11)
    assert not ledger.names(9, 12)
    assert not ledger.names(20, 21)
    assert not ledger.names(30, 40)
    assert not ledger.names(10, 20, kinds=("gap",))


def test_a_mismatch_is_of_just_one_candle() -> None:
    ledger = Ledger([incident("mismatch", 0, 59_999)])

    assert ledger.names_mismatch(0, 59_999)
    assert not ledger.names_mismatch(0, 299_999)


def test_what_was_wrong_in_a_time_explains_it() -> None:
    ledger = Ledger([incident("silent", 100, 200)])

    assert ledger.explains(150, 160)
    assert ledger.explains(200, 300)
    assert not ledger.explains(0, 100)
    assert not Ledger([incident("mismatch", 100, 200)]).explains(150, 160)
