"""The live view: what the hubs say now, kept in memory. Also a client for programs of your own: `LiveView`."""

from api.live.view import LiveView

__all__ = ["LiveView"]
