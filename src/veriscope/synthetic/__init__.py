"""Is it generated? One file a method."""
