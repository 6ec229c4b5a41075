"""Signatures of what webhooks are told, by the scheme of standardwebhooks.com: HMAC-SHA256 over id, time and body.

A secret is derived from the installation's own key and the webhook's salt: no row, copy or backup of the database
holds it.
"""

import base64
import hashlib
import hmac
import secrets

from django.conf import settings

PREFIX = "whsec_"
SALT = 32  # characters


def new_salt() -> str:
    """What another secret is derived from."""
    return secrets.token_hex(SALT // 2)


def secret_from(salt: str) -> str:
    """The secret, as its receiver is told it once."""
    return PREFIX + base64.b64encode(_key(salt)).decode()


def signature_of(salt: str, name: str, at: int, body: bytes) -> str:
    """What proves that we sent this body under this name at this time (seconds since 1970)."""
    digest = hmac.digest(_key(salt), f"{name}.{at}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def _key(salt: str) -> bytes:
    said = f"attune.webhook:{salt}".encode()
    return hmac.digest(settings.SECRET_KEY.encode(), said, hashlib.sha256)
