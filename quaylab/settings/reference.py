"""The page of all settings; ``python -m quaylab.settings.reference`` prints it."""

from __future__ import annotations

import runpy
import types
import typing

from pydantic.fields import FieldInfo

from quaylab.paths import ROOT
from quaylab.settings.loading import HostSettings, Settings
from quaylab.settings.types import LocalFile, Section

DEFAULTS = ROOT / "group_data" / "all.py"
INTRODUCTION = """\
# Settings

<!-- made by: python -m quaylab.settings.reference >docs/settings.md -->

Every setting has its default in [group_data/all.py](../group_data/all.py). Set yours in
`group_data/all.py` beside your inventory, or for one run with `--data KEY=VALUE`. A key that does
not exist, a value of the wrong type, and settings that don't go together are all reported at
once, each by its name, before a host is changed. With `--data`, write lists and the like as JSON
(`--data 'rhsm_repositories=["a","b"]'`), and also a text that looks like a number
(`--data 'rhsm_release="9.4"'`). Secrets are not settings: see [credentials](credentials.md).

The settings of the whole run come first. The last tables are for single hosts or groups.
"""


def defaults() -> dict[str, object]:
    """Return every setting's default from group_data/all.py."""
    return {
        key: value
        for key, value in runpy.run_path(str(DEFAULTS)).items()
        if not key.startswith("__")
    }


def settings_page() -> str:
    """Return the page: a table for each section, those of single hosts last."""
    default_values = defaults()
    sections = [
        section
        for model in (Settings, HostSettings)
        for section in reversed(model.__mro__)
        # The other classes only combine sections.
        if issubclass(section, Section) and section.__annotations__.keys() & section.model_fields
    ]
    return INTRODUCTION + "".join(_table(section, default_values) for section in sections)


def _table(section: type[Section], default_values: dict[str, object]) -> str:
    """Return a section as a Markdown table: key, type, default, meaning."""
    title = (section.__doc__ or "").partition("\n")[0].rstrip(".")
    rows = [f"\n## {title}\n", "| setting | type | default | meaning |", "|---|---|---|---|"]
    for key, field in section.model_fields.items():
        default = f"`{default_values[key]!r}`".replace("'", '"')
        meaning = (field.description or "").replace("|", "\\|")
        rows.append(f"| `{key}` | {_type(field)} | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


def _type(field: FieldInfo) -> str:
    """Return a field's type in a user's words."""
    annotation = field.annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(
            part for part in typing.get_args(annotation) if part is not types.NoneType
        )
    if annotation == LocalFile:
        return "file"
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in (tuple, list):
        return "list"
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(f"`{choice}`" for choice in typing.get_args(annotation))
    words = {str: "text", int: "number", bool: "`True` or `False`"}
    return words.get(annotation, "dict")  # type: ignore[arg-type]


if __name__ == "__main__":
    print(settings_page(), end="")
