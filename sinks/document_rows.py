"""Documents of MongoDB as rows of a frame, each value of its column's type."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from flows.foreign import visible
from sinks.mongo.documents import INCIDENTS, MARKET_DATA, REMOVES, REPLACES, DocumentError

_NOT_OF_COLUMN: Final = (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError)
_REMEDIES: Final[Mapping[str, str]] = {MARKET_DATA: REPLACES, INCIDENTS: REMOVES}


def frame_of(
    documents: Sequence[Mapping[str, Any]], schema: Mapping[str, pl.DataType], collection: str
) -> pl.DataFrame:
    """The documents of a collection as rows. `DocumentError` when a value is none of its column."""
    try:
        return pl.DataFrame(documents, schema=schema)
    except _NOT_OF_COLUMN as error:
        faults = (
            (document, name)
            for document in documents
            for name, kind in schema.items()
            if not _fits(document.get(name), name, kind)
        )
        document, name = next(faults, ({}, ""))
        time, remedy = next(iter(schema)), _REMEDIES.get(collection, "remove it")
        what = visible(f"{collection} has a document of {time} {document.get(time)}")
        raise DocumentError(f"{what} that cannot be read, {name} {document.get(name)!r:.40}: {remedy}") from error


def _fits(value: Any, name: str, kind: pl.DataType) -> bool:
    try:
        pl.DataFrame([{name: value}], schema={name: kind})
    except _NOT_OF_COLUMN:
        return False
    return True
