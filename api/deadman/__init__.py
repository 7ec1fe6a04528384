"""A receiver of the alert that always fires: when it does not come, the alerting itself is broken."""
