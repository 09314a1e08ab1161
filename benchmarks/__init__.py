"""One command per claim: `python -m benchmarks.<name>`, or all of them with `make bench`."""
