"""The laboratory: where detectors are trained, attacked and measured. Needs the lab extra."""
