"""The scenarios database: its schema, and the types and columns that more than one role uses."""
