"""The text of `.env.example`, made from the settings themselves, so that the two cannot differ.

`python -m app.dev.env_example > .env.example` writes it (`make docs` does); a test holds the file equal to this.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping

from app.config import IGNORED, group_classes
from app.environment import Group, as_text

WIDTH = 100
HEADER = """\
# Every setting with its meaning, unit and default. All are optional; an empty value counts as unset.
# Copy to .env, uncomment what you change, and read it into the shell (set -a; . ./.env; set +a) or name it in
# compose. Give `serve` and each `worker` the same ones, but for those of `node`: whoever ends a job also decides what
# may follow it.
"""


def render() -> str:
    """The whole file, ending in a newline."""
    groups = [_group(name, kind) for name, kind in group_classes().items()]
    ignored = ["# ── ignored ──", *(line for name, why in IGNORED.items() for line in (*_comment(why), f"#{name}="))]
    return "\n".join([HEADER, *groups, "\n".join(ignored), ""])


def _group(name: str, kind: type[Group]) -> str:
    lines = [f"# ── {name}: {(kind.__doc__ or '').strip().rstrip('.')} ──"]
    for variable, field_name in kind.variables().items():
        field = kind.model_fields[field_name]
        extra = field.json_schema_extra
        unit = extra.get("unit") if isinstance(extra, Mapping) else ""
        lines += _comment(f"{field.description} Unit: {unit}." if unit else str(field.description))
        lines.append(f"#{variable}={as_text(field.default)}")
    return "\n".join([*lines, ""])


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


if __name__ == "__main__":
    sys.stdout.write(render())
