"""Sentences for people: counted words, and what a decoder refuses."""

from flows.texts.counted import counted
from flows.texts.refused import refusal_in, refusal_of

__all__ = ["counted", "refusal_in", "refusal_of"]
