"""Who may ask: Basic authentication where BASIC_AUTH_USER and BASIC_AUTH_PASS are set, the webhook's secret header."""

from __future__ import annotations

import base64
import binascii
import hmac

from fastapi import HTTPException, Request

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


def require_basic(request: Request) -> None:
    """Dependency of the admin's routes."""
    guard: Guard = request.app.state.guard
    if not guard.admits(request.headers.get("authorization")):
        raise HTTPException(401, REFUSAL, headers=CHALLENGE)


def author(request: Request) -> str:
    """Whose name a change carries: the header's, else the Basic user's, else 'api'."""
    named = request.headers.get(AUTHOR_HEADER, "").strip()
    given = _basic(request.headers.get("authorization"))
    user = given.partition(b":")[0].decode("utf-8", "replace") if given else ""
    return (named or user or "api")[:256]


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
