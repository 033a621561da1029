"""What passes is what was sent, both ways, seen from raw sockets on either side."""
