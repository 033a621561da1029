"""Tests of our own JSON API."""
