"""The contract: the messages of REST and Kafka. It needs only msgspec, pydantic and the CloudEvents library."""
