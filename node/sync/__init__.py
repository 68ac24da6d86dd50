"""How a peer becomes equal to its peers: gossip, status, reconciliation and bounded fetches."""
