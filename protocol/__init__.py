"""What the network means: pure functions over bytes and records, with no I/O."""
