"""The contract: what travels over REST and Kafka, on msgspec, pydantic and the CloudEvents library alone."""
