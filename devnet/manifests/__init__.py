"""Manifests: what a devnet is, in a file. The shipped ones lie in this folder."""
