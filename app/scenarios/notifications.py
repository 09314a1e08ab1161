"""How processes hear that scenarios changed."""

CHANNEL = "scenario_changed"
"""The PostgreSQL channel that is notified soon after scenarios changed.

Not in the transactions that change them: a transaction that notifies holds a lock of the whole server while
it commits, so no two of them could share a wait for the disk.
"""
