"""Tests of the filter language, its predicate and its pages."""
