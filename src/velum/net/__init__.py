"""Other machines: addresses that may be reached, pooled connections, and the localizers behind them."""
