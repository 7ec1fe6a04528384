"""What requests of Kraken's WebSocket v2 have in common."""

from typing import Any

_INT64 = 2**63


def params_of(request: dict[str, Any]) -> dict[str, Any]:
    """The parameters; none where they are no object."""
    params = request.get("params")
    return params if isinstance(params, dict) else {}


def id_of(request: dict[str, Any]) -> int | None:
    """The `req_id`; None for what is none."""
    value = request.get("req_id")
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _INT64 else None
