"""The scenarios database: its schema, and what more than one role knows of it."""
