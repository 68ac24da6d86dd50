"""What is seen of a devnet over time, and the figures that follow from it."""
