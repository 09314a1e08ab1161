"""The delivery contract of `app.bus`, paragraph by paragraph, on every backend."""
