"""One file a trained model: data, loss, schedule, export, calibration."""
