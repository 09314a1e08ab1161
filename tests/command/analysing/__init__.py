"""Tests of what `videoanalysis analyze` is made of."""
