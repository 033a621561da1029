"""The whole proxy between two raw sockets: answers, streams, hang-ups, connections."""
