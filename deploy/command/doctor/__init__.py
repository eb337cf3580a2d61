"""`pause-notifications doctor`: check everything that the programs need, and ask the replicas."""
