"""The live view: current state of the hubs, in memory. `LiveView` is also a client for other programs."""

from api.live.view import LiveView

__all__ = ["LiveView"]
