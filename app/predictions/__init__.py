"""The predictions database: its schema, and the codec of a stored row."""
