"""`videoanalysis doctor`: check what a service needs, one subject in each module."""
