"""Read-only views of both databases: one SELECT each, rows in, Structs out."""
