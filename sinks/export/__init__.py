"""Stored data as files: CSV, JSON, NDJSON, Arrow and Parquet, part by part, with flat memory."""
