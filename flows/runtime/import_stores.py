"""The stores of an import: which they are, and whether they can be used."""

from pymongo.errors import PyMongoError

from flows.foreign import visible
from flows.runtime.query_handlers import open_database
from flows.settings import Settings, SettingsError
from flows.texts import database_reason
from sinks.importer.identities import identities_of, make_candles
from sinks.trades.store import check_store
from sinks.trades.writer import partition_names

_LONGEST_REASON = 200


def check_stores(settings: Settings) -> None:
    """Checks the stores before the import. `SettingsError` or `TradeStoreError` when one cannot be used."""
    mongo, trades = settings.mongo, settings.trades
    if not (mongo.enabled or trades.enabled):
        raise SettingsError("mongo.enabled and trades.enabled are both off: the import has nowhere to write to")
    if trades.enabled:
        for partition in partition_names(trades.partitions):
            check_store(trades.path / settings.feed.venue / partition)
    if mongo.enabled:
        try:
            make_candles(open_database(mongo))
        except PyMongoError as error:
            reason = visible(database_reason(error), limit=_LONGEST_REASON)
            raise SettingsError(
                f"mongo.uri: MongoDB does not answer ({reason}): start it, for the "
                "bundled one python -m sinks.mongod, or set MARKETFLOW_MONGO__ENABLED=false to import trades alone"
            ) from error


def identities(settings: Settings) -> dict[str, str]:
    """The identities of the stores in use."""
    folder, trades = settings.trades.path / settings.feed.venue, settings.trades
    partitions = [folder / name for name in partition_names(trades.partitions)] if trades.enabled else []
    return identities_of(open_database(settings.mongo) if settings.mongo.enabled else None, partitions)


def stores_of(settings: Settings) -> str:
    """All settings that change what an import stores; with secrets."""
    mongo, trades = settings.mongo, settings.trades
    documents = f"{mongo.uri} {mongo.database}" if mongo.enabled else ""
    store = f"{trades.path.absolute()} {trades.partitions}" if trades.enabled else ""
    return f"{settings.feed.venue} {settings.feed.timeframes} {documents} {store}"
