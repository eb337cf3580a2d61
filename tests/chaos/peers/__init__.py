"""What one writes in an afternoon to do the replica's job: run under the same load and judged by the same checker.

Fair to them: settings as documented, the replica's own notices and contacts, and no error made on purpose. They keep
nothing beside the group's offsets: no ledger, no intents, no dead letters.
"""
