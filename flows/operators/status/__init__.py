"""States of instruments and connections."""
