"""How processes hear that scenarios changed."""

CHANNEL = "scenario_changed"
"""Notified soon after scenarios moved, and not by the transactions that move them: one that notifies holds a
lock of the whole server while it commits, so that none would share its wait for the disk with another."""
