"""Is it a copy of something known? Descriptors, an index on disk, and what is found in it."""
