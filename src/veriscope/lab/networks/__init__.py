"""Torch modules, one file an architecture."""
