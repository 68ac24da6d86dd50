"""The rules of the network, without a network."""
