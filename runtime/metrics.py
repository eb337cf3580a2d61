"""Where a program's metrics live: a registry of its own, nothing global."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector


def program_registry() -> CollectorRegistry:
    """Make a registry that already tells of the process: memory, CPU, open files, garbage collection."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
