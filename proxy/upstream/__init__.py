"""One request out, one answer back: our HTTP/1.1 transport, its pool and its errors."""
