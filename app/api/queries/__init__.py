"""Read-only queries over both databases."""
