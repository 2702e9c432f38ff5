"""Downloads from the object store: straight from it by its signed address, or with
FEATURE_PROXY_STORAGE through Quay's own nginx, for clients that can't reach the store."""

import json
from urllib.parse import urlsplit

from cryptography.fernet import InvalidToken
from flask import Flask, abort, request

from standin.config import Settings

PREFIX = "/_storage_proxy/"
# As in Quay (storage/downloadproxy.py).
SECONDS = 600


def address(settings: Settings, signed: str) -> str:
    """Return where a client fetches what has this signed address at the store."""
    if settings.values.get("FEATURE_PROXY_STORAGE") is not True:
        return signed
    parsed = urlsplit(signed)
    parts = (parsed.scheme, parsed.netloc, f"{parsed.path}?{parsed.query}".lstrip("/"))
    token = settings.cipher("storage proxy").encrypt(json.dumps(parts).encode()).decode()
    return f"{settings.url}{PREFIX}{'/'.join((token, *parts))}"


def add_storage_proxy(app: Flask, settings: Settings) -> None:
    """Add the route by which nginx asks whether a client may fetch something from the store."""

    @app.get("/_storage_proxy_auth")
    def allowed() -> str:
        """Accept the address that a token was made for, and no other."""
        token, *parts = request.headers.get("X-Original-URI", "").removeprefix(PREFIX).split("/", 3)
        try:
            made_for = json.loads(settings.cipher("storage proxy").decrypt(token, ttl=SECONDS))
        except InvalidToken:
            abort(401)
        if parts != made_for:
            abort(401)
        return "OK"
