"""Looks into trained detectors: where they look, on which of their channels their answer rests."""
