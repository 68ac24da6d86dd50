"""State at rest: rows, indexes, the journal and the range index, over one engine."""
