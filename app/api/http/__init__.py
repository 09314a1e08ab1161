"""What concerns HTTP itself: middleware, API keys, limits, problems, validation, cursors, OpenAPI."""
