"""What Label Studio sends: Basic credentials (BASIC_AUTH_USER and BASIC_AUTH_PASS), and a webhook with its secret."""

from __future__ import annotations

import base64
import binascii
import hmac

from ml_backend.settings import Settings

SECRET_HEADER = "X-NextLabel-Secret"
AUTHOR_HEADER = "X-NextLabel-Author"
CHALLENGE = {"WWW-Authenticate": 'Basic realm="NextLabel", charset="UTF-8"'}
REFUSAL = "Send the user and password of BASIC_AUTH_USER and BASIC_AUTH_PASS as Basic authentication."


class AuthError(ValueError):
    """A half-configured authentication, which would leave a door open that its owner believes shut."""


class Guard:
    """Compares credentials in constant time; lets everyone in while no user and password are set."""

    def __init__(self, settings: Settings) -> None:
        user, password = settings.basic_auth_user, settings.basic_auth_pass
        if bool(user) != bool(password):
            unset = "BASIC_AUTH_PASS" if user else "BASIC_AUTH_USER"
            raise AuthError(f"{unset} is not set though its partner is; set both, or neither to let everyone in.")
        pair = f"{user}:{password}"
        # requests sends latin-1, browsers UTF-8
        encodings = ("utf-8", "latin-1") if pair.isascii() or _is_latin(pair) else ("utf-8",)
        self._wanted = [pair.encode(encoding) for encoding in encodings] if user else []

    @property
    def open(self) -> bool:
        return not self._wanted

    def admits(self, authorization: str | None) -> bool:
        """Whether an Authorization header opens the door; whatever is malformed or not Basic does not."""
        if self.open:
            return True
        given = _basic(authorization)
        if given is None:
            return False
        matches = [hmac.compare_digest(given, wanted) for wanted in self._wanted]
        return any(matches)


def secret_matches(given: str | None, wanted: str) -> bool:
    """Constant-time comparison; an empty secret matches nothing."""
    return bool(given and wanted) and hmac.compare_digest((given or "").encode(), wanted.encode())


def basic_user(authorization: str | None) -> str:
    """The user that a Basic header names, '' where there is none."""
    given = _basic(authorization)
    return given.partition(b":")[0].decode("utf-8", "replace") if given else ""


def _basic(authorization: str | None) -> bytes | None:
    """user:password of a Basic header, None for anything else."""
    scheme, _, value = (authorization or "").strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        given = base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    return given if b":" in given else None


def _is_latin(text: str) -> bool:
    return all(ord(character) < 256 for character in text)
