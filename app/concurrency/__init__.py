"""Threads, wake-up calls and micro-batching."""
