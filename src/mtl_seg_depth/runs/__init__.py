"""One training from settings to result."""
