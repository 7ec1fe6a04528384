"""An exchange on loopback that speaks Binance's protocol, from a tape or from a synthetic market."""
