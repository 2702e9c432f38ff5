"""The README's table of settings: ``python -m quaylab.reference`` prints it."""

from __future__ import annotations

import runpy
import types
import typing
from pathlib import Path

from pydantic.fields import FieldInfo

from quaylab.settings import HostSettings, Settings
from quaylab.settings.forms import LocalFile

DEFAULTS = Path(__file__).parent.parent / "group_data" / "all.py"


def defaults() -> dict[str, object]:
    """Every setting's default, as group_data/all.py has it."""
    return {
        key: value
        for key, value in runpy.run_path(str(DEFAULTS)).items()
        if not key.startswith("__")
    }


def settings_table() -> str:
    """A Markdown table: key, type, default, meaning; a host's own settings come last."""
    given = defaults()
    rows = ["| setting | type | default | meaning |", "|---|---|---|---|"]
    for model in (Settings, HostSettings):
        for key, field in model.model_fields.items():
            default = f"`{given[key]!r}`".replace("'", '"')
            meaning = (field.description or "").replace("|", "\\|")
            rows.append(f"| `{key}` | {_type(field)} | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


def _type(field: FieldInfo) -> str:
    """A field's type in a user's words."""
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
    return {str: "text", int: "number", bool: "`True` or `False`"}.get(annotation, "dict")  # type: ignore[arg-type]


if __name__ == "__main__":
    print(settings_table(), end="")
