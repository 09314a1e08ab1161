"""Types that every role uses: specs, sources, states, predictions. Pure: no I/O, no clock."""
