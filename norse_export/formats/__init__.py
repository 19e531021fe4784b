"""File formats: model files, NIR, traces, rasters."""
