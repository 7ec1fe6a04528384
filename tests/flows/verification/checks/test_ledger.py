from flows.model import Incident
from flows.verification.checks.ledger import Ledger
from flows.verification.checks.trade_ids import IdGap


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


def test_what_was_repaired_after_its_loss_is_not_named_any_more() -> None:
    gap, later = incident("gap", 0, 9, 10, 20), incident("store_outage", 0, 9, 14, 14)
    repair = incident("repair", 5, 9, 12, 15)

    ledger = Ledger([gap, repair])
    assert (ledger.names(10, 11), ledger.names(16, 20)) == (True, True)
    assert [ledger.names(number, number) for number in range(12, 16)] == [False] * 4
    assert Ledger([gap, repair, later]).names(14, 14), "lost again"
    assert Ledger([repair, gap]).names(10, 20), "the loss is the later one"
    assert Ledger([gap, incident("repair", 10, 20, 12, 15)]).names(10, 20), "numbers of another time"


def test_an_incident_without_ids_names_only_a_hole_around_it() -> None:
    """Trades within its time contradict it, and so nobody knows what has become of others."""
    ledger = Ledger([incident("gap", 100, 200)])

    assert ledger.names_gap(IdGap(5, 9, 100, 200))
    assert ledger.names_gap(IdGap(5, 9, 90, 210))
    for after, before in ((101, 200), (100, 199), (120, 140), (0, 150), (150, 300)):
        assert not ledger.names_gap(IdGap(5, 9, after, before))
    assert not ledger.names_gap(IdGap(5, 9, 100, 200, of_fills=True))
    assert ledger.names_gap(IdGap(5, 9, 100, 200, begins_anew=True))
