"""Browser sessions: a signed cookie that any node can read, and the CSRF token in it."""

import hmac
import secrets
from datetime import timedelta

from flask import Flask, request, session

from standin.config import Settings

ACCOUNT = "account"
CSRF_KEY = "_csrf_token"
CSRF_HEADER = "X-CSRF-Token"
NEXT_CSRF_HEADER = "X-Next-CSRF-Token"


def configure(app: Flask, settings: Settings) -> None:
    """Give the application Quay's cookie, signed with a key that all nodes share."""
    app.secret_key = settings.derived_key("session")
    app.config.update(
        # Quay's name for the cookie, although it has the whole session.
        SESSION_COOKIE_NAME="_csrf_token",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.scheme == "https",
        PERMANENT_SESSION_LIFETIME=timedelta(days=31),
    )


def csrf_token(*, renew: bool = False) -> str:
    """Return the session's token; make it if there is none."""
    if renew or CSRF_KEY not in session:
        session[CSRF_KEY] = secrets.token_urlsafe(48)
    return str(session[CSRF_KEY])


def csrf_token_is_valid() -> bool:
    """Return whether the request has its session's token."""
    expected = str(session.get(CSRF_KEY, ""))
    return bool(expected) and hmac.compare_digest(expected, request.headers.get(CSRF_HEADER, ""))


def sign_in(name: str) -> str:
    """Sign an account in; return the CSRF token for the next requests."""
    session.permanent = True
    session[ACCOUNT] = name
    return csrf_token(renew=True)


def signed_in() -> str | None:
    """Return the name of the session's account; None without one."""
    return session.get(ACCOUNT)


def send_cookie() -> None:
    """Send the cookie although it hasn't changed, as Quay does after a refused sign-in."""
    session.modified = True
