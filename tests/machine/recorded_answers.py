"""Compare an answer with the recorded one, except for what differs between any two servers."""

from __future__ import annotations

import json
import re
from typing import Any

import jwt
import requests

ANY = "<any>"
# What differs between two servers, or from one run to the next.
VOLATILE = re.compile(
    r"created|last_modified|expiration|.*_ts|hash|color|size|status_token|avatar|hostname"
    r"|local_service_key_id|invoice_em.*|tag_expiration_s"
)
PLACEHOLDER = re.compile(r"<[A-Z-]+>")


def check_body(recorded: str, answer: requests.Response) -> None:
    """Compare a body: pages by their type, JSON by its values, as far as they were recorded."""
    page = re.fullmatch(r"\(html, \d+ bytes\)(?:: (.*))?", recorded)
    if page:
        assert answer.headers.get("Content-Type", "text/html").startswith("text/html")
        assert page[1] is None or answer.text.replace(" \n", " ").startswith(page[1])
    elif re.fullmatch(r"\(\d+ bytes\)", recorded):
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert len(answer.content) == int(answer.headers["Content-Length"]) > 0
    elif recorded:
        text = recorded.removesuffix(" (indented)")
        value, is_whole = read_cut(text)
        check(value, answer.json(), is_whole)
    else:
        assert not answer.content


def check_header(name: str, recorded: str, answer: requests.Response) -> None:
    """Compare a header, but not the values of lengths and cookies."""
    if name == "Content-Length":
        return
    if answer.status_code == 301:
        # The redirect to TLS loses the port.
        recorded = re.sub(r":\d+", "", recorded)
    ours = answer.headers[name]
    match name:
        case "Set-Cookie":
            assert ours.startswith("_csrf_token=")
            assert {"Secure", "HttpOnly", "SameSite=Lax"} <= set(ours.split("; "))
        case "Retry-After":
            assert ours.isdigit()
        case "Allow":
            assert set(ours.split(", ")) <= set(recorded.split(", "))
        case "WWW-Authenticate":
            assert ours.startswith("Bearer realm=")
            assert ours.endswith(recorded.removeprefix("Bearer …"))
        case _:
            assert PLACEHOLDER.sub(ANY, recorded) == re.sub(r"(?<=next_page=)[^>]+", ANY, ours)


def read_cut(text: str) -> tuple[Any, bool]:
    """Return a JSON value of which parts may be left out (…), and whether it is complete."""
    if "…" not in text:
        return json.loads(text), True
    text = text.replace("{…}", f'"{ANY}"').replace("…, ", "")
    try:
        return json.loads(text), False
    except ValueError:
        pass
    text = text[: text.index("…")] if "…" in text else text
    for end in range(len(text), 0, -1):
        closing = _closing(text[:end])
        try:
            return json.loads(text[:end] + closing), False
        except ValueError:
            continue
    raise AssertionError(f"not read: {text}")


def _closing(text: str) -> str:
    """Return the characters that close all that a JSON text leaves open."""
    closing, in_text, escaped = "", False, False
    for character in text:
        if in_text:
            in_text = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            in_text = True
        elif character in "{[":
            closing = {"{": "}", "[": "]"}[character] + closing
        elif character in "}]":
            closing = closing[1:]
    return ('"' if in_text else "") + closing


def check(theirs: Any, ours: Any, is_whole: bool, key: str = "") -> None:
    """Compare two JSON values; an incomplete one may have fewer items than ours."""
    if theirs == ANY or VOLATILE.fullmatch(key):
        return
    if isinstance(theirs, dict):
        assert isinstance(ours, dict), key
        assert set(theirs) == set(ours) if is_whole else set(theirs) <= set(ours), key
        for name, value in theirs.items():
            check(value, ours[name], is_whole, name)
    elif isinstance(theirs, list):
        assert isinstance(ours, list), key
        assert len(theirs) == len(ours) if is_whole else len(theirs) <= len(ours), (key, ours)
        for theirs_item, ours_item in zip(theirs, ours, strict=False):
            check(theirs_item, ours_item, is_whole, key)
    elif isinstance(theirs, str) and PLACEHOLDER.fullmatch(theirs):
        assert isinstance(ours, str), key
    elif isinstance(theirs, str) and not is_whole:
        # A message may go on with a JSON schema.
        assert str(ours).startswith(theirs.split("\n")[0]), key
    else:
        assert theirs == ours, key


def check_token(recorded: str, token: str) -> None:
    """Compare the claims of a token for the registry."""
    ours = jwt.decode(token, options={"verify_signature": False})
    if recorded.startswith("payload: "):
        theirs = json.loads(recorded.removeprefix("payload: "))
        assert {key: ours[key] for key in ("iss", "sub", "access")} == {
            key: theirs[key] for key in ("iss", "sub", "access")
        }
        return
    access = recorded.removeprefix("(in the token: ").removesuffix(")")
    wanted = (
        dict(entry.split(": ") for entry in access.split("; ")) if access != "no access" else {}
    )
    assert {entry["name"]: ",".join(entry["actions"]) or "nothing" for entry in ours["access"]} == (
        wanted
    )
