"""Tests of `pause-notifications suppressions`."""
