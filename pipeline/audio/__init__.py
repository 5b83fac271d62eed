"""Sound as numbers: pure cores that take time as an argument, and `devices`, the one door to the sound card."""
