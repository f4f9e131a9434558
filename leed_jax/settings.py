"""Settings from JSON, which may be anybody's: known fields of known types, and never code."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

Kind = TypeVar("Kind")


def from_json(
    kind: type[Kind], fields: Any, name: str = "config", *, required: Sequence[str] = ()
) -> Kind:
    """A settings dataclass from its JSON form.

    Settings that the form lacks have their defaults: it was written before there were such
    settings.

    Args:
      kind: the dataclass; its fields may be dataclasses again.
      fields: what `dataclasses.asdict` and JSON made of it.
      name: how messages call it.
      required: fields that every version has written.

    Raises:
      ValueError: not such settings; the message names the field and what was allowed.
    """
    if not isinstance(fields, dict):
        raise ValueError(f"{name} must be a JSON object, got {_short(fields)}")
    known = {field.name: field for field in dataclasses.fields(kind)}  # pyright: ignore[reportArgumentType]
    hints = typing.get_type_hints(kind)
    for key in fields:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(
                f"{name} has no field {_short(key)}: not settings, or those of another version of "
                f"leed_jax{hint}"
            )
    values: dict[str, Any] = {}
    for key in known:
        place, wanted = f"{name}.{key}", hints[key]
        if key in fields:
            values[key] = _read(wanted, fields[key], place)
        elif key in required:
            raise ValueError(f"{place} is missing")
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _read(wanted: Any, value: Any, place: str) -> Any:
    if dataclasses.is_dataclass(wanted):
        return from_json(typing.cast(Any, wanted), value, place)
    found, good = _convert(wanted, value)
    if not good:
        raise ValueError(f"{place} must be {_words(wanted)}, got {_short(value)}")
    return found


def _convert(wanted: Any, value: Any) -> tuple[Any, bool]:
    """The value as ``wanted`` has it, and whether it is one."""
    origin, parts = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is Literal:
        return value, isinstance(value, str) and value in parts
    if origin in (typing.Union, types.UnionType):
        tried = [_convert(part, value) for part in parts]
        return next((each for each in tried if each[1]), (value, False))
    if origin is tuple:
        items = [_convert(parts[0], item) for item in value] if isinstance(value, list) else []
        return tuple(item for item, _ in items), isinstance(value, list) and all(
            good for _, good in items
        )
    if origin in (dict, Mapping):
        good = isinstance(value, dict) and all(
            _convert(parts[1], item)[1] for item in value.values()
        )
        return value, good
    if wanted is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return (float(value), True) if number and abs(value) < 1e300 else (value, False)
    if wanted is Path:
        return (Path(value), True) if isinstance(value, str) else (value, False)
    return value, type(value) is wanted


def _words(wanted: Any) -> str:
    """A type, for people."""
    origin, parts = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(part) for part in parts)
    if origin is tuple:
        return f"a list, each {_words(parts[0])}"
    simple = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    simple |= {type(None): "null", Path: "a path"}
    return simple.get(wanted, "an object of texts" if origin in (dict, Mapping) else str(wanted))


def _short(value: Any) -> str:
    """A value in one short line."""
    said = ascii(value) if isinstance(value, str | int | float | None) else type(value).__name__
    return said if len(said) <= 60 else f"{said[:57]}..."
