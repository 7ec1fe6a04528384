"""Markets played from recordings."""
