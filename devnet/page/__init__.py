"""The live page of a devnet: what is drawn, what its buttons do, and the server of both."""
