"""Tests of the memory side."""
