"""The REST interface. Its routes come with the API; the room is reserved so that the layers can be checked."""
