"""Tests: behaviour seen from outside, through real sockets, files and processes."""
