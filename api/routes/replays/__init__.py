"""Routes of the replay exchange behind a flow."""
