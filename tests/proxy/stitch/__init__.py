"""Tests of stitching."""
