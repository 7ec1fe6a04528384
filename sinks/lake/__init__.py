"""The lake: closed days of stored data as Parquet files with a manifest, in a layout that other programs read."""
