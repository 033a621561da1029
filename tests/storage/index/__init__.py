"""Tests of the index beside the database."""
