"""What is counted of a running pipeline, for those who draw curves."""
