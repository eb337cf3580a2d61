"""Prometheus's rules for the service, made from code: one source for Prometheus and for its operator."""
