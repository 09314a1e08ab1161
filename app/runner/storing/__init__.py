"""Storing what a run has: its fence, batches, and what is read back when it is resumed."""
