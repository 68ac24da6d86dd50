"""Conflicts told as text, the outcome beneath."""
