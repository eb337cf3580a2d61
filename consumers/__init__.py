"""The replica: turns events into e-mails, one member of the consumer group."""
