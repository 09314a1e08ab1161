"""How messages reach a channel: one module for each type."""
