"""Pictures of a devnet as SVG and HTML: pure functions from what was seen to text."""
