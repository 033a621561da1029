"""Registered schemas, what applies where, and judging answers against them."""
