"""HTTP itself: middleware, keys, problems, validation, cursors, OpenAPI."""
