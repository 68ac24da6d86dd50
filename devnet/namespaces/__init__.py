"""A devnet in network namespaces of Linux: real packets, dropped and slowed down by the kernel."""
