"""The whole, end to end: the official client, the proxy, a real llama.cpp server."""
