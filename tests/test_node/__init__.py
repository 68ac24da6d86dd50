"""One peer and a few of them, in virtual time."""
