"""The official clients, unchanged, in front of the proxy over real sockets."""
