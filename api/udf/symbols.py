"""Instruments as TradingView's protocol UDF names and describes them: `BINANCE:BTCUSDT`."""

from typing import Final

from api.http.errors import Problem
from api.live.candle_cache import SeriesKey
from api.services import Services
from api.udf.answers import RESOLUTIONS
from api.udf.messages import FoundSymbol, NoQuote, Quote, QuoteValues, SymbolDescription
from flows.model import Instrument, ListedInstrument
from flows.model.printed import decimals_of

DECIMALS: Final = 2
"""Of a price or quantity of which neither the list nor a price is known."""


class UdfSymbols:
    """Finds and describes instruments."""

    def __init__(self, services: Services) -> None:
        self._instruments = services.instruments
        self._live = services.live

    async def find(self, text: str) -> Instrument:
        """The instrument of a symbol with or without its venue before a colon; `Problem` when it is unknown."""
        venue, colon, symbol = text.rpartition(":")
        try:
            return await self._instruments.find(symbol, venue.lower() if colon else "")
        except Problem as problem:
            if problem.code == "bad_request":
                raise Problem("unknown_symbol", problem.message) from problem
            raise

    async def series(self, text: str, timeframe: str) -> SeriesKey:
        """The series of candles of a symbol."""
        return SeriesKey(*await self.find(text), timeframe)

    async def described(self, text: str) -> SymbolDescription:
        """The description of a symbol."""
        instrument = await self.find(text)
        listed = await self._listed(instrument)
        price_decimals = listed.price_decimals if listed else None
        quantity_decimals = listed.quantity_decimals if listed else None
        if price_decimals is None:
            price = self._live.price(instrument.symbol, instrument.venue)
            price_decimals = DECIMALS if price is None else max(DECIMALS, decimals_of(price))
        return SymbolDescription(
            name=instrument.symbol,
            ticker=full_name(instrument),
            description=_description(instrument, listed),
            exchange=instrument.venue.upper(),
            listed_exchange=instrument.venue.upper(),
            pricescale=10**price_decimals,
            volume_precision=DECIMALS if quantity_decimals is None else quantity_decimals,
            intraday_multipliers=[name for name in RESOLUTIONS if name.isdigit()],
            supported_resolutions=list(RESOLUTIONS),
        )

    async def search(self, query: str, exchange: str, limit: int) -> list[FoundSymbol]:
        """Instruments whose name or assets contain the query, those first that are followed and begin with it."""
        wanted = _plain(query.rpartition(":")[2])
        if exchange and exchange not in self._instruments.venues():
            return []
        found = []
        for venue, listed in (await self._instruments.catalogue(exchange)).items():
            followed = self._instruments.followed(venue)
            known = listed or [ListedInstrument(venue, symbol, "followed") for symbol in sorted(followed)]
            for one in known:
                names = (_plain(one.symbol), _plain(one.base + one.quote))
                if any(wanted in name for name in names):
                    begins = any(name.startswith(wanted) for name in names)
                    rank = (one.symbol not in followed, not begins, len(one.symbol), one.symbol, venue)
                    found.append((rank, one))
        return [_found(one) for _, one in sorted(found, key=lambda pair: pair[0])[:limit]]

    async def quote(self, text: str) -> Quote | NoQuote:
        """The newest price of a symbol with its figures of the day."""
        try:
            instrument = await self.find(text)
        except Problem as problem:
            return NoQuote(text, problem.message)
        name = full_name(instrument)
        tick = self._live.tick(instrument.symbol, instrument.venue)
        market = self._live.latest("MarketData", instrument.symbol, instrument.venue)
        if tick is None or market is None:
            return NoQuote(name, f"{name} has no price yet")
        stats = self._live.latest("Stats", instrument.symbol, instrument.venue)
        day = stats[0].body if stats else None
        data = market[0].body
        values = QuoteValues(
            ch=data.price_change_24h,
            chp=data.price_change_percent_24h,
            short_name=instrument.symbol,
            exchange=instrument.venue.upper(),
            description=_description(instrument, await self._listed(instrument)),
            lp=tick.price,
            bid=tick.bid,
            ask=tick.ask,
            open_price=day.open if day else None,
            high_price=day.high if day else None,
            low_price=day.low if day else None,
            prev_close_price=day.open if day else None,
            volume=data.volume_24h,
        )
        return Quote(name, values)

    async def _listed(self, instrument: Instrument) -> ListedInstrument | None:
        try:
            listed = await self._instruments.listed(instrument.venue)
        except Problem:
            return None  # the store is down; what is live is served
        return next((one for one in listed if one.symbol == instrument.symbol), None)


def full_name(instrument: Instrument) -> str:
    """The name of an instrument with its venue."""
    return f"{instrument.venue.upper()}:{instrument.symbol}"


def _plain(text: str) -> str:
    return "".join(sign for sign in text.upper() if sign not in "-_/ ")


def _description(instrument: Instrument, listed: ListedInstrument | None) -> str:
    pair = f"{listed.base}/{listed.quote}" if listed and listed.base else instrument.symbol
    return f"{pair} at {instrument.venue}"


def _found(one: ListedInstrument) -> FoundSymbol:
    name = full_name(instrument := Instrument(one.venue, one.symbol))
    return FoundSymbol(one.symbol, name, _description(instrument, one), one.venue.upper(), name)
