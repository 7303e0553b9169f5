"""Invisible marks: put one into a picture, read it again, and say with what confidence."""
