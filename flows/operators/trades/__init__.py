"""Trades in the order of their ids: gaps, duplicates, wrong ids."""
