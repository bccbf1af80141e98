"""What several test modules build or run, and is no oracle."""
