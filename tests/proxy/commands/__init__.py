"""The commands, run as programs on files that a real proxy has written."""
