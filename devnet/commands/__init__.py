"""The commands of `minesync devnet`, each a few lines over the modules that do the work."""
