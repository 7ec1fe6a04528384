"""The bundled MongoDB server."""
