"""Accounts, repositories and tags in the form of Quay's API."""

import hashlib
from email.utils import formatdate
from typing import Any

from standin.account import Account
from standin.config import Settings
from standin.manifests import LIST_TYPES
from standin.repositories import Repository
from standin.tags import Tag

AVATAR_COLOR = "#ad494a"


def avatar(name: str, kind: str, email: str | None = None) -> dict[str, str]:
    """Return the data for an account's picture."""
    digest = hashlib.sha256((email or name).encode()).hexdigest()
    return {"name": name, "hash": digest, "color": AVATAR_COLOR, "kind": kind}


def current_user(settings: Settings, account: Account, organizations: list[str]) -> dict[str, Any]:
    """Return the requesting account as it sees itself."""
    return {
        "anonymous": False,
        "username": account.name,
        "avatar": avatar(account.name, "user", account.email),
        "can_create_repo": True,
        "is_me": True,
        "verified": True,
        "email": account.email,
        "logins": [],
        "invoice_email": False,
        "invoice_email_address": None,
        "preferred_namespace": False,
        "tag_expiration_s": settings.tag_expiration_seconds,
        "prompts": [],
        "company": None,
        "family_name": None,
        "given_name": None,
        "location": None,
        "is_free_account": True,
        "has_password_set": True,
        "organizations": [
            {
                "name": name,
                "avatar": avatar(name, "org"),
                "can_create_repo": True,
                "public": False,
                "is_org_admin": True,
                "preferred_namespace": True,
            }
            for name in organizations
        ],
        "super_user": account.name in settings.super_users,
    }


def user(settings: Settings, account: Account) -> dict[str, Any]:
    """Return a user as a superuser sees it."""
    return {
        "kind": "user",
        "name": account.name,
        "username": account.name,
        "email": account.email,
        "verified": True,
        "avatar": avatar(account.name, "user", account.email),
        "super_user": account.name in settings.super_users,
        "global_readonly_super_user": False,
        "enabled": bool(account.is_enabled),
    }


def repository(
    settings: Settings,
    found: Repository,
    tags: list[Tag],
    *,
    is_organization: bool,
) -> dict[str, Any]:
    """A repository."""
    return {
        "namespace": found.namespace,
        "name": found.name,
        "kind": "image",
        "description": found.description,
        "is_public": bool(found.is_public),
        "is_organization": is_organization,
        "is_starred": False,
        "trust_enabled": False,
        "tag_expiration_s": settings.tag_expiration_seconds,
        "is_free_account": True,
        "state": "NORMAL",
        "tags": {
            item.name: {
                "name": item.name,
                "size": item.layers_size,
                "last_modified": formatdate(item.started),
                "manifest_digest": item.digest,
            }
            for item in tags
        },
    }


def listed_repository(found: Repository, *, starred: bool) -> dict[str, Any]:
    """Return a repository's entry in a list; only users see stars."""
    return {
        "namespace": found.namespace,
        "name": found.name,
        "description": found.description,
        "is_public": bool(found.is_public),
        "kind": "image",
        "state": "NORMAL",
        **({"is_starred": False} if starred else {}),
    }


def organization(settings: Settings, found: Account, *, is_owner: bool) -> dict[str, Any]:
    """An organisation."""
    answer = {
        "name": found.name,
        "email": found.contact or "" if is_owner else "",
        "avatar": avatar(found.name, "org", found.contact),
        "is_admin": is_owner,
        "is_member": is_owner,
    }
    if not is_owner:
        return answer
    owners = {
        "name": "owners",
        "description": "",
        "role": "admin",
        "avatar": avatar("owners", "team"),
        "can_view": True,
        "repo_count": 0,
        "member_count": 1,
        "is_synced": False,
    }
    return {
        **answer,
        "teams": {"owners": owners},
        "ordered_teams": ["owners"],
        "invoice_email": False,
        "invoice_email_address": None,
        "tag_expiration_s": settings.tag_expiration_seconds,
        "is_free_account": True,
    }


def robot(account: Account) -> dict[str, Any]:
    """A robot, without its token."""
    return {
        "name": account.name,
        "created": formatdate(account.created),
        "last_accessed": None,
        "description": account.description or "",
    }


def permission(account: Account, role: str, *, is_org_member: bool) -> dict[str, Any]:
    """Return an account's role in a repository."""
    is_robot = account.kind == "robot"
    return {
        "role": role,
        "name": account.name,
        "is_robot": is_robot,
        "avatar": avatar(account.name, "robot" if is_robot else "user", account.email),
        "is_org_member": is_org_member,
    }


def tag(item: Tag) -> dict[str, Any]:
    """Return a tag's entry in a list."""
    past = {"end_ts": item.ended, "expiration": formatdate(item.ended)} if item.ended else {}
    return {
        "name": item.name,
        "reversion": False,
        "start_ts": item.started,
        "manifest_digest": item.digest,
        "is_manifest_list": item.media_type in LIST_TYPES,
        "size": item.layers_size,
        "last_modified": formatdate(item.started),
        **past,
    }
