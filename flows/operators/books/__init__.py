"""Order books: kept in sync by the exchanges' procedures, audited, shown."""
