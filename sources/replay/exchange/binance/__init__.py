"""The protocol of Binance, spot and USD-M: addresses, parameters, answers of REST."""
