"""What a node does beside syncing: register, answer tasks, judge answers, claim rewards."""
