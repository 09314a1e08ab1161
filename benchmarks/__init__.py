"""One module per claim: run `python -m benchmarks.<name>`, or all of them with `make bench`."""
