"""Snapshots: the state of a whole devnet kept under a name, and brought back."""
