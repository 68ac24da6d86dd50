"""The programs that solve and score tasks: their line protocol, their supervision, two examples."""
