"""Tests of proxy.schemas."""
