"""Sentences for people: counted words, what a decoder refuses, what a database's driver says."""

from flows.texts.counted import counted
from flows.texts.database import database_reason
from flows.texts.refused import refusal_in, refusal_of

__all__ = ["counted", "database_reason", "refusal_in", "refusal_of"]
