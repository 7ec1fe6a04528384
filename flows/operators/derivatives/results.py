"""What the machine of an instrument takes and gives."""

from typing import TypeAlias

from flows.model import (
    ContractReport,
    DerivativeRecord,
    DerivativeUpdate,
    Incident,
    LiquidationReport,
    MarkReport,
    Removed,
    Subscribed,
    TradingStatus,
)
from flows.operators.status.observations import ChannelRefused
from flows.queries import Query

ContractInput: TypeAlias = list[MarkReport] | list[LiquidationReport] | list[ContractReport] | Subscribed | Removed
"""Runs of one instrument's reports, and the events of its connections."""
ContractResult: TypeAlias = DerivativeUpdate | DerivativeRecord | Incident | ChannelRefused | TradingStatus
Results: TypeAlias = list[ContractResult | Query]
