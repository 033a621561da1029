"""Kills and stops: what the program promises about its own end, seen from outside."""
