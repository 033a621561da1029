"""The traffic side: forwarding, editing, relaying, and the front of the program."""
