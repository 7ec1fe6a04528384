"""The settings that Binance's feed and REST client need; the section `feed` has and describes them."""

from typing import Literal, Protocol


class BinanceSettings(Protocol):
    """Which market, at which address, and which streams."""

    venue: Literal["binance", "binance-usdm"]
    origin: Literal["live", "testnet", "replay", "synthetic"]
    ws_url: str | None
    rest_url: str | None
    timeframes: tuple[str, ...]
    connections: int
    streams_per_connection: int

    @property
    def streams(self) -> tuple[str, ...]:
        """Kinds of streams of a symbol that names none."""
