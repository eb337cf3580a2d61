"""Ten faults, each provoked on a running `make run`: what an operator sees, does, and how long it takes."""
