from sinks.trades.codec import TradeColumns

def are_within(
    begins: list[int], ends: list[int], parts: list[TradeColumns], value: float, fills: int, kinds: int, /
) -> bool: ...
