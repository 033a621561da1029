"""Tests of what the recordings are for."""
