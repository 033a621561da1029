"""Answers filters from a file of its own beside the database: derived, never needed."""
