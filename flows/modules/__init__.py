"""How modules are imported: late, or compiled where that is possible."""
