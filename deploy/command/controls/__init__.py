"""The controls: what operators put in force for all replicas at once."""
