import msgspec

from tests.benchmarks.latency import Ears


def test_only_prices_that_change_count() -> None:
    ears = Ears()
    trades = [("X", 1, "5"), ("X", 2, "5.0"), ("Y", 2, "5"), ("X", 3, "6")]
    for moment, (symbol, time, price) in enumerate(trades):
        trade = {"data": {"s": symbol, "E": time, "p": price}}
        ears.of_exchange.append((moment / 1_000, msgspec.json.encode(trade)))
    for moment, (symbol, time, price) in [(2, trades[0]), (700, trades[1]), (5, trades[2]), (7, trades[3])]:
        data = {"symbol": symbol, "timestamp": time, "price": float(price)}
        ears.of_hub.append((moment / 1_000, msgspec.json.encode({"type": "MarketData", "data": data})))
    ears.late += [0.1, 0.2]
    latency = ears.take()
    assert latency is not None
    assert round(latency.p50, 3) == 3.0  # of 2, 3 and 4
    assert latency.p99 < 5.0
