"""Whether a server keeps to Binance's protocol: the checklist behind `marketflow replay --check URL`."""
