"""Many peers on one machine: processes, faults, load and checks."""
