"""What the recordings are for: export, and later datasets, evals and training."""
