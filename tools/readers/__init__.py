"""Open exports with the programs that people open them with: `make readers`."""
