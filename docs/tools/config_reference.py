"""The page of all settings, written from the dataclasses: their fields, types, defaults, words.

Sources are read, not imported, so that the page shows defaults as they are written, and needs
nothing but Python.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[2] / "leed_jax"
INTRODUCTION = """# Configuration

All settings, with their defaults. This page is generated from the dataclasses; the words under a
field are also its `--help` text. A value that cannot be meant raises a `ValueError` that names the
field and what is allowed.

In Python a setting is an argument, in the shell an option with the same name:

```python
import leed_jax as leed

config = leed.TrainConfig(num_envs=128, expert=leed.ExpertConfig(weight=1.0))
longer = config.replace(total_steps=2_000_000)
```

```bash
python -m experiments.run --train.num-envs 128 --train.expert.weight 1.0
python -m experiments.run train.num_envs=128 train.expert.weight=1.0
```
"""
SHOWN = (
    ("run_config.py", "RunConfig", "", "A whole run on the command line"),
    ("config.py", "TrainConfig", "train.", "Training"),
    ("config.py", "NetworkConfig", "train.network.", "Networks"),
    ("config.py", "ExpertConfig", "train.expert.", "The expert loss"),
    ("config.py", "ValueBasedConfig", "train.value_based.", "Value-based methods"),
    ("commands/generating.py", "GenerateConfig", "", "`leed generate`"),
    ("generation/config.py", "GenerationConfig", "generation.", "Asking a language model"),
)
"""File, class, what its options begin with on the command line, title."""


class Setting(NamedTuple):
    """A field of a dataclass, as it is written."""

    name: str
    kind: str
    default: str
    words: str


def settings(path: Path, name: str) -> list[Setting]:
    """The fields of a dataclass, in order; properties and methods are left out.

    Raises:
      ValueError: there is no such class, or a field without words.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    if not found:
        raise ValueError(f"{path}: no class {name}")
    return list(_fields(found[0], f"{path}: {name}"))


def _fields(body: ast.ClassDef, place: str) -> Iterator[Setting]:
    for node, behind in zip(body.body, [*body.body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        said = isinstance(behind, ast.Expr) and isinstance(behind.value, ast.Constant)
        if not said:
            raise ValueError(f"{place}.{node.target.id} has no docstring under it")
        words = _shown(" ".join(str(behind.value.value).split()))  # pyright: ignore
        default = "" if node.value is None else _default(node.value)
        yield Setting(node.target.id, ast.unparse(node.annotation), default, words)


def _shown(words: str) -> str:
    """Angle brackets outside of code are no HTML."""
    parts = words.split("`")
    parts[::2] = [part.replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)


def _default(value: ast.expr) -> str:
    """As it is written; what a factory makes is told by its name."""
    if isinstance(value, ast.Call) and ast.unparse(value.func).endswith("field"):
        for keyword in value.keywords:
            if keyword.arg == "default_factory":
                return f"{ast.unparse(keyword.value)}()"
            if keyword.arg == "default":
                return ast.unparse(keyword.value)
    return ast.unparse(value)


def page() -> str:
    """The whole page as Markdown."""
    parts = [INTRODUCTION]
    for file, name, prefix, title in SHOWN:
        option = f"--{prefix.replace('_', '-')}<field>"
        parts.append(f"## {title}\n\n`{name}`, on the command line `{option}`\n")
        for each in settings(PACKAGE / file, name):
            head = f"**`{each.name}`**{{ #{name}.{each.name} }} · `{each.kind}`"
            if each.default:
                head += f" · default `{each.default}`"
            parts.append(f"{head}\n:   {each.words}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(page())
