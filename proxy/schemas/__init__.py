"""Judges JSON answers by the schemas that apply to them."""
