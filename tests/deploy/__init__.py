"""What operators are given keeps what it says; no container engine is needed."""
