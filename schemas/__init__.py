"""The contract: what travels over REST and Kafka, on pydantic and the CloudEvents library alone."""
