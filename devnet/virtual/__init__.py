"""The sim provider: all nodes of a devnet in one loop, in virtual time. One seed, one run."""
