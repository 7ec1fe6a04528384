"""The hub of SignalR at `/hubs/marketdata`: the gateway's messages and calls of methods, for .NET and others."""
