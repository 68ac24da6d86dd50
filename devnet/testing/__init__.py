"""Network tests in ten lines: the pytest plugin, and the network that it hands to a test."""
