"""The runner: samples frames, runs inference and writes predictions."""
