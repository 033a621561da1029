"""Our own JSON API under `/api`: what is recorded, for those who may read it."""
