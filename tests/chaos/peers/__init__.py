"""What one writes in an afternoon for the replica's job: with the same load and the same checker.

Fair to them: settings as documented, the replica's own notices and contacts, and no error made on purpose. They keep
nothing beside the group's offsets: no ledger, no intents, no dead letters.
"""
