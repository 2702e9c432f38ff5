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
        # Quay calls the cookie so, though it holds the whole session.
        SESSION_COOKIE_NAME="_csrf_token",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.scheme == "https",
        PERMANENT_SESSION_LIFETIME=timedelta(days=31),
    )


def csrf_token(*, renew: bool = False) -> str:
    """The session's token, made if there is none."""
    if renew or CSRF_KEY not in session:
        session[CSRF_KEY] = secrets.token_urlsafe(48)
    return str(session[CSRF_KEY])


def csrf_token_is_valid() -> bool:
    """Whether the request carries its session's token."""
    held = str(session.get(CSRF_KEY, ""))
    return bool(held) and hmac.compare_digest(held, request.headers.get(CSRF_HEADER, ""))


def sign_in(name: str) -> str:
    """Make the session that account's; give the token of the requests after this one."""
    session.permanent = True
    session[ACCOUNT] = name
    return csrf_token(renew=True)


def signed_in() -> str | None:
    """Whose session it is."""
    return session.get(ACCOUNT)


def send_cookie() -> None:
    """Answer with the cookie though nothing in it is new, as Quay does to a refused sign-in."""
    session.modified = True
