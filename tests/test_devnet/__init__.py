"""Manifests, faults and small clusters."""
