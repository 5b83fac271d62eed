"""What is counted and traced of a running pipeline, for those who draw curves."""
