"""Batches: their commands, and how the leader finds files and makes scenarios of them."""
