"""Invisible marks: put one into a picture, read it again, and say with what confidence."""

from veriscope.watermarks.marking import DEFAULT, SCHEMES, Detection, Marked, detect, mark, marked_file

__all__ = ["DEFAULT", "SCHEMES", "Detection", "Marked", "detect", "mark", "marked_file"]
