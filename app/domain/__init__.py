"""What every role speaks of: specs, sources, states, predictions. Pure: no I/O, no clock."""
