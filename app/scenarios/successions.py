"""Scenarios that replace each other: the events of all of them are one list."""

MAX_REPLACED = 99
"""How many scenarios may have been replaced before one: a list of events reads at most 100 scenarios."""
