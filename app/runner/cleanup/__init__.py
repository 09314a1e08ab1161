"""Removing predictions that are deleted or too old."""
