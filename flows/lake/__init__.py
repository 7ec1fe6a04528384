"""The lake of a deployment: brought up to date by a command, or once a night by the flow."""
