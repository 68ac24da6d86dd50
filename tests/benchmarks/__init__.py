"""One file for each figure to reach; run with `make bench`."""
