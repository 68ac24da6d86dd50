"""What this node thinks of answers, miners and the network: opinions, never validity."""
