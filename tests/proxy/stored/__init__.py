"""Tests of the stored-completions API."""
