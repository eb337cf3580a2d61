"""The image: its Dockerfile, what builds it, and what is left out of it."""
