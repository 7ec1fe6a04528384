"""The writer of an import, behind the machines of the live flow."""

from sinks.importer.importer import Importer, are_incidents_stored
from sinks.importer.versions import Improvement

__all__ = ["Importer", "Improvement", "are_incidents_stored"]
