"""Finds exchanges: a filter language, and pages of what it matches."""
