"""Tests of the upstream transport: scripted sockets on one side, the transport here."""
