"""Passwords: what one must be, and its scrypt hash (RFC 7914), which carries its own cost and salt."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from functools import lru_cache

SHORTEST, LONGEST = 10, 200  # characters
COST, BLOCK, LANES = 15, 8, 1  # 2^15 rounds of 1 KiB: 32 MiB and about 0.1 s for each guess
MEMORY = 128 * 2**20


class PasswordError(ValueError):
    """A password that cannot be taken; the message says which one can."""


def check_password(password: str, name: str) -> None:
    """Raises PasswordError for one that is too short, too long, or the name itself."""
    if len(password) < SHORTEST:
        raise PasswordError(f"The password has {len(password)} characters; take at least {SHORTEST}.")
    if len(password) > LONGEST:
        raise PasswordError(f"The password has {len(password)} characters; take at most {LONGEST}.")
    if name and name.casefold() in password.casefold() and len(password) < len(name) + SHORTEST:
        raise PasswordError("The password is little more than the name; take another one.")


def hash_password(password: str) -> str:
    """'scrypt$cost$block$lanes$salt$hash', the last two in base64."""
    salt = secrets.token_bytes(16)
    digest = _scrypt(password, salt, COST, BLOCK, LANES)
    return "$".join(["scrypt", str(COST), str(BLOCK), str(LANES), _text(salt), _text(digest)])


def matches(password: str, stored: str) -> bool:
    """Whether a password is the one behind a hash, in constant time; a hash of another kind matches nothing."""
    kind, _, rest = stored.partition("$")
    if kind != "scrypt" or len(password) > LONGEST:
        return False
    cost, block, lanes, salt, digest = rest.split("$")
    given = _scrypt(password, base64.b64decode(salt), int(cost), int(block), int(lanes))
    return hmac.compare_digest(given, base64.b64decode(digest))


def _scrypt(password: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    encoded = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(encoded, salt=salt, n=2**cost, r=block, p=lanes, maxmem=MEMORY, dklen=32)


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


@lru_cache(maxsize=1)
def nobodys() -> str:
    """A hash to check for unknown names, so that they take as long as known ones."""
    return hash_password(secrets.token_urlsafe())
