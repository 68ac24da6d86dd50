"""Bundles: all that a bug report needs of a devnet in one file, and its run once more."""
