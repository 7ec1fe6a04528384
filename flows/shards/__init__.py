"""Flows that share the shards of a deployment: each takes leases, and runs a process for each shard it owns."""
