"""The command `videoanalysis`: run a service, analyse files without one, and use one that runs."""
