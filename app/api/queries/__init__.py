"""Read-only queries over both databases. No other module of the API contains SQL."""
