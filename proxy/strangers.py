"""Keeps web pages of strangers from using the proxy through their visitor's browser.

A page may send requests to any address its visitor's machine reaches, loopback too.
Where its own name is made to lead here, it may even read the answers (DNS rebinding),
and on its way spend a key that the proxy holds. Browsers tell on it in two headers: the
name they were given in `Host`, the page in `Origin` (S-22, S-23).
"""

import ipaddress
import re
from collections.abc import Collection, Iterable

from proxy.errors import HostError, OriginError, UnknownHostError

# RFC 9110 §4.2 by way of RFC 3986 §3.2.2, without the percent-encoding nobody sends.
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._~-]{1,255})(?::[0-9]{0,5})?")
_PAGE = re.compile(rb"https?://(.+)", re.IGNORECASE)  # what no page of a site can avoid

# Names that no stranger can register, and so make lead here: RFC 6761, RFC 6762, and
# `host.docker.internal` under the private-use domain of 2024.
_LOCAL = (".localhost", ".local", ".internal")

_MOST_KNOWN = 256  # spellings of Host that were let in once


class Strangers:
    """Decides by `Host` and `Origin`.

    Shapes: `names` are names of ours beside those that lead only here; without any,
    `everyone` lets each name in.
    """

    def __init__(self, names: Collection[str], *, everyone: bool = False) -> None:
        self._names = frozenset(name.lower().rstrip(".") for name in names)
        self._everyone = everyone and not names
        self._known = {b""}  # empty where a target has no authority (RFC 9112 §3.2)

    def refuse(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Let a request pass, or say why not.

        Shapes: header names in lower case.
        Raises: `HostError` where `Host` is none (H-39), `UnknownHostError` where it is
        a stranger's, `OriginError` where a stranger's page sent the request.
        """
        for name, value in headers:
            if name == b"host":
                if value not in self._known:
                    self._look_at(value)
            elif name == b"origin" and not self._everyone and not self._ours(value):
                raise OriginError(
                    f"The page {_told(value)} may not use this proxy: if it is yours, "
                    "add its name to the setting `served_names`."
                )

    def _look_at(self, host: bytes) -> None:
        found = _HOST.fullmatch(host)
        if found is None:
            raise HostError("The header Host holds no host: write name or name:port.")
        if not self._everyone and not self._is_local(found[1]):
            raise UnknownHostError(
                f"This proxy is not known as {_told(host)}: if that is its name, add "
                "it to the setting `served_names`."
            )
        if len(self._known) < _MOST_KNOWN:
            self._known.add(host)

    def _ours(self, origin: bytes) -> bool:
        page = _PAGE.fullmatch(origin)
        if page is None:  # an extension or a desktop program; `null` hides a page
            return origin.strip().lower() != b"null"
        host = _HOST.fullmatch(page[1])
        return host is not None and self._is_local(host[1])

    def _is_local(self, host: bytes) -> bool:
        name = host.decode("ascii").lower().rstrip(".")
        if "." not in name or name in self._names or name.endswith(_LOCAL):
            return True
        try:  # an address cannot be made to lead elsewhere
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


def _told(value: bytes) -> str:
    return repr(value[:100].decode("ascii", "backslashreplace"))
