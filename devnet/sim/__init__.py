"""A whole network in one process and in virtual time: one seed is one run."""
