from collections import Counter

from msgspec import structs

from flows.model import DAY_MS, Incident
from flows.verification.checks.claims import StoredCandle
from flows.verification.checks.empty_days import MOST_DAYS
from flows.verification.checks.findings import Finding
from flows.verification.checks.ledger import Ledger
from tests.fakes.candles import BEGIN, candle
from tests.fakes.verified import SYMBOL, VENUE, MemoryStores, verified

DAYS = 2 * MOST_DAYS + 50
HOURS = [candle(number * 60, timeframe="1h") for number in (0, 1, DAYS * 24, DAYS * 24 + 1)]
"""Two hours, and two of a time years later."""


class CountingStores(MemoryStores):
    def __init__(self, incidents: list[Incident]) -> None:
        super().__init__([], HOURS, incidents)
        self.has_trades = False
        self.read: Counter[str] = Counter()

    def candles(self, symbol: str, timeframe: str, start: int, end: int) -> list[StoredCandle]:
        self.read["candles"] += 1
        return super().candles(symbol, timeframe, start, end)

    def ledger(self, symbol: str, start: int, end: int) -> Ledger:
        self.read["ledger"] += 1
        return super().ledger(symbol, start, end)


def found_of(stores: MemoryStores) -> list[Finding]:
    return [one for one in verified(stores, timeframes=("1h",)) if one.kind == "missing"]


def test_days_without_candles_are_found_to_be_missing_and_read_once() -> None:
    begins = [BEGIN + 2 * 3_600_000, *(BEGIN + number * DAY_MS for number in range(1, DAYS))]
    stores = CountingStores([])
    assert [one.open_time for one in found_of(stores)] == begins
    assert stores.read["candles"] < 10
    assert stores.read["ledger"] == 3 + 3, "the days with candles and the first without, and the others by hundreds"


def test_only_the_days_of_an_incident_are_explained_by_it() -> None:
    named = Incident("feed_down", VENUE, SYMBOL, BEGIN + 150 * DAY_MS + 1, BEGIN + 151 * DAY_MS + 1, "cut")
    lacking = {(one.open_time - BEGIN) // DAY_MS for one in found_of(CountingStores([named]))}
    assert set(range(DAYS)) - lacking == {150, 151}


def test_a_candle_in_the_midst_of_such_days_is_verified() -> None:
    stores = CountingStores([])
    false = structs.replace(candle(120 * 24 * 60, timeframe="1h"), high=1.0)
    stores.stored.append(StoredCandle(false, false.close_time))
    found = {one.open_time for one in verified(stores, timeframes=("1h",)) if one.kind == "candle"}
    assert found == {false.open_time}
