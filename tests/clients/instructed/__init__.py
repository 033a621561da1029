"""Instructor, which lives in a venv of its own, and an upstream that answers it."""
