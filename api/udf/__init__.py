"""TradingView's protocol UDF: names of instruments, bars and marks; the routes are in `api/routes/protocols/udf.py`."""
