"""Kafka for all programs: connection, topics, publisher, reader, ledger; aiokafka's oddities stay in here."""
