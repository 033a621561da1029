"""The memory side: what is kept, how it is committed, and how it is read back."""
