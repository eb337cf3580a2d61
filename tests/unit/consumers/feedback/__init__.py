"""Tests of what takes and handles feedback."""
