"""Rounds of faults for as long as one likes: `make torture`."""
