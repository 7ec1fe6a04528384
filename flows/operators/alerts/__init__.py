"""Alerts: rules of a user, evaluated on what is known to be fresh, right and live."""
