"""Changes of the schema, applied at start."""
