"""Manifests, folds, and the histories that training pictures go through."""
