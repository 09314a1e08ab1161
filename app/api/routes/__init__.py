"""The routes, one file per resource. They decode requests, call queries and commands, and answer."""
