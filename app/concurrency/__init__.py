"""Threads, wake-ups and micro-batching."""
