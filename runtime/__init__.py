"""What every program does alike: settings, logs, signals, probes, clock, backoff, and Kafka."""
