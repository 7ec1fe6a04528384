"""The one writer of an import, behind the machines of the live flow."""

from sinks.importer.intake import Intake
from sinks.importer.versions import Improvement

__all__ = ["Improvement", "Intake"]
