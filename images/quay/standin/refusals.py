"""Refusals of what Quay supports and the stand-in doesn't."""

from typing import NoReturn

from flask import abort, make_response

from standin import version


def not_done(what: str) -> NoReturn:
    """End a request that only Quay itself can answer."""
    message = f"{what}: not done by the stand-in for Quay {version()}"
    abort(make_response({"message": message}, 501))
