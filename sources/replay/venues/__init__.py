"""The protocols of other venues than Binance: what each sends, answers and refuses."""
