"""Many seeds, many faults, every check."""
