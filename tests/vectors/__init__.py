"""Bytes that never change by accident."""
