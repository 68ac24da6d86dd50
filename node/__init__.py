"""One running peer: trio, the network, the roles and the remote procedure calls."""
