"""Exits 0 when the proxy beside it answers a path with 200: for probes without curl.

Run as `python -I probe.py /readyz [port]`. `http.client` because it, unlike urllib,
reads no proxy from the environment.
"""

import http.client
import sys

path, port = [*sys.argv[1:], "8787"][:2]
connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=4)
try:
    connection.request("GET", path)
    status = connection.getresponse().status
except OSError as error:
    sys.exit(f"{path}: {error}")
if status != 200:
    sys.exit(f"{path}: {status}")
