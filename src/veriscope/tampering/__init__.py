"""Was the picture edited, and where? One file a method."""
