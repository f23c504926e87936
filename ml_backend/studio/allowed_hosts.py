"""Which hosts beside Label Studio may be asked for images, and at which addresses."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from ml_backend.studio.client import StudioError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAME = re.compile(r"(\*\.)?([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(:\d{1,5})?")
_STANDARD = {"http": 80, "https": 443}
_TRANSLATED = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))  # an IPv4 address is at the end
_LOCAL = (ipaddress.IPv6Network("64:ff9b:1::/48"), ipaddress.IPv6Network("fec0::/10"))  # newer than some Pythons' lists


@dataclass(frozen=True)
class AllowedHosts:
    """names: host, host:port or *.host (those below it). networks: where private addresses are allowed too.

    So a store at a private address needs both: `minio.internal:9000,10.1.0.0/16`. An address needs its network alone.
    """

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> AllowedHosts:
        """From a list with commas, as NEXTLABEL_MEDIA_HOSTS has it. Raises StudioError.

        >>> AllowedHosts.parse("images.example.com, 10.1.0.0/16").networks
        (IPv4Network('10.1.0.0/16'),)
        """
        names, networks = set(), []
        for entry in filter(None, (part.strip().lower() for part in text.split(","))):
            try:
                networks.append(ipaddress.ip_network(entry.strip("[]")))
            except ValueError:
                if not _NAME.fullmatch(entry) or entry.rpartition(".")[2].isdecimal() or "/" in entry:
                    raise StudioError(
                        f"NEXTLABEL_MEDIA_HOSTS has '{entry}', which is no host; write images.example.com, "
                        "*.example.com, host:9000 or a network such as 10.1.0.0/16, with commas between."
                    ) from None
                names.add(entry)
        return cls(frozenset(names), tuple(networks))

    def has_host(self, scheme: str, host: str, port: int | None) -> bool:
        """Whether a URL may name this host. Names without a port stand for the scheme's own."""
        address = literal(host)
        if address is not None:
            return any(address in network for network in self.networks)
        host = host.lower().rstrip(".")
        labels = host.split(".")
        known = {host, *(f"*.{'.'.join(labels[at:])}" for at in range(1, len(labels)))}
        standard = port is None or port == _STANDARD.get(scheme)
        return bool(self.names & ({f"{name}:{port}" for name in known} | (known if standard else set())))

    def has_address(self, address: Address) -> bool:
        """Whether a connection may go there: anywhere public, and to private addresses of the networks."""
        ways = (address, embedded(address) or address)
        return is_public(address) or any(way in network for network in self.networks for way in ways)


def literal(host: str) -> Address | None:
    """The address that a URL's host is written as, if it is one.

    >>> literal("example.com") is None
    True
    """
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def is_public(address: Address) -> bool:
    """Whether an address belongs to the open internet; not so loopback, private, link-local, reserved, multicast ones,
    nor an IPv6 address that leads to such an IPv4 one.

    >>> is_public(ipaddress.ip_address("::ffff:169.254.169.254"))
    False
    """
    inner = embedded(address)
    if inner is not None:
        return is_public(inner)
    return address.is_global and not address.is_multicast and not any(address in network for network in _LOCAL)


def embedded(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one leads to: mapped, 6to4, Teredo, or behind a translator (RFC 6052)."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.teredo:
        return address.teredo[1]
    if any(address in network for network in _TRANSLATED):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
