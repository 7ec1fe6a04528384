"""The writer of an import, behind the machines of the live flow."""

from sinks.importer.importer import Importer
from sinks.importer.versions import Improvement

__all__ = ["Importer", "Improvement"]
