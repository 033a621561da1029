"""Random bytes in every place that reads bytes of others: `make fuzz` has the time."""
