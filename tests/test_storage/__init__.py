"""State at rest, every test on memory and on RocksDB."""
