"""Where a webhook may be: the guard looks at the very address that is connected, whatever a name said before.

Names are resolved once, every address is judged, and the socket is opened to one that was judged: a name that
answers otherwise the next time, a redirect, or a number written in an odd way leads nowhere else.
"""

import ipaddress
import socket
import threading
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from webapp.webhooks.errors import WebhookError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
PORTS = {"https": 443, "http": 80}
# IANA's registry of special addresses, multicast, and what clouds answer their guests by (168.63.129.16).
NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16",
            "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
            "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
            "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
        ),
    )
)  # fmt: skip
# All else of IPv6 is no public unicast: loopback, mapped IPv4, NAT64, unique local, link-local, multicast.
PUBLIC_6 = ipaddress.IPv6Network("2000::/3")


class Target(NamedTuple):
    """An address of the web, in parts."""

    scheme: str
    host: str
    port: int
    path: str  # with its query


def target_of(url: str) -> Target:
    """The parts of an address; raises WebhookError where nothing can be sent to it."""
    try:
        found = urlsplit(url)
        host, port = found.hostname or "", found.port
        host.encode("idna")
    except (ValueError, UnicodeError):
        host, port = "", None
    plain = url.isascii() and url.isprintable() and not set(url) & set(' "<>\\^`{|}')
    if not host or not plain or found.scheme not in PORTS or port == 0 or "@" in found.netloc:
        raise WebhookError(
            _(
                "Write a whole address, such as https://example.org/hook, without a name or password."
            )
        )
    path = (found.path or "/") + (f"?{found.query}" if found.query else "")
    return Target(found.scheme, host, port or PORTS[found.scheme], path)


def check_target(url: str) -> Target:
    """The same; an address that is a number is judged at once. Raises WebhookError."""
    target = target_of(url)
    try:
        given = ipaddress.ip_address(target.host)
    except ValueError:
        return target  # a name, which is judged whenever it is connected
    _must_reach(target, given)
    return target


def is_public(address: Address) -> bool:
    """Whether anybody's machines may be there, but none of ours or of those around us."""
    if address.version == 6 and address not in PUBLIC_6:
        return False
    return not any(
        address in network for network in NOT_PUBLIC if network.version == address.version
    )


def is_allowed(address: Address) -> bool:
    """Whether who runs this installation lets webhooks reach this network (ATTUNE_WEBHOOK_NETWORKS)."""
    networks: Sequence[Network] = [ipaddress.ip_network(one) for one in settings.WEBHOOK_NETWORKS]
    return any(address in one for one in networks if one.version == address.version)


def _must_reach(target: Target, address: Address) -> None:
    if is_allowed(address):
        return
    if not is_public(address):
        raise WebhookError(_("This address is on a private network, which webhooks may not reach."))
    if target.scheme != "https":
        raise WebhookError(_("Only https is spoken with the world."))


def connect(target: Target, until: float) -> socket.socket:
    """A socket to an address of the target that may be reached, before this moment of `time.monotonic`.

    Raises WebhookError where none may be, OSError where none answers.
    """
    refusal: Exception = WebhookError(_("This host has no address."))
    for family, place in _resolved(target, until):
        try:
            _must_reach(target, ipaddress.ip_address(place[0].partition("%")[0]))
            return _opened(target, family, place, until)
        except (WebhookError, OSError) as error:
            refusal = error
    raise refusal


def _opened(target: Target, family: int, place: tuple[str, int], until: float) -> socket.socket:
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.settimeout(left(until))
        found.connect(place)
        _must_reach(target, ipaddress.ip_address(found.getpeername()[0].partition("%")[0]))
    except BaseException:
        found.close()
        raise
    return found


def left(until: float) -> float:
    """The seconds until a moment; raises TimeoutError once it is over."""
    rest = until - time.monotonic()
    if rest <= 0:
        raise TimeoutError
    return rest


def _resolved(target: Target, until: float) -> list[tuple[int, tuple[str, int]]]:
    """The addresses of the host; asked for aside, as nothing else ends a question that nobody answers."""
    answers: SimpleQueue[list[tuple[int, tuple[str, int]]]] = SimpleQueue()
    threading.Thread(target=_ask, args=(target, answers), daemon=True).start()
    try:
        return answers.get(timeout=left(until))
    except Empty:
        raise TimeoutError from None


def _ask(target: Target, answers: "SimpleQueue[list[tuple[int, tuple[str, int]]]]") -> None:
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        found = []
    answers.put([(int(one[0]), one[4]) for one in found])  # type: ignore[misc]  # of IPv6 four parts
