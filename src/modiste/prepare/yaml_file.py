"""A YAML file that a person wrote, or one clear word about why it cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from modiste.errors import InvalidInput


def read_yaml(path: Path) -> Any:
    """What the file holds; None for an empty one. Tags that would build objects are refused.

    Raises:
        InvalidInput: unreadable, no UTF-8, no YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: not readable as YAML: {error}") from None
    except RecursionError:
        raise InvalidInput(f"{path}: nested too deeply to be read") from None


def read_mapping(path: Path, *, expected: str) -> dict[str, Any]:
    """A file of `name: value` lines.

    Args:
        expected: what the file needs, for whoever wrote something else.

    Raises:
        InvalidInput: as `read_yaml`, or the file holds no mapping.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise InvalidInput(f"{path}: expected {expected}, got {type(content).__name__}")
    return {str(name): value for name, value in content.items()}


def lines_of(path: Path) -> dict[str, int]:
    """The line of every name of a file of mappings, nested names joined by dots.

    Raises:
        InvalidInput: as `read_yaml`.
    """
    try:
        return lines_in(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: not readable as YAML: {error}") from None


def lines_in(text: str) -> dict[str, int]:
    """As `lines_of`; parts of a list go by their place, as in `categories.0.code`.

    Raises:
        yaml.YAMLError: no YAML.
    """
    return dict(_lines(yaml.compose(text, Loader=yaml.SafeLoader), "", set()))


def _lines(node: yaml.Node | None, prefix: str, seen: set[int]) -> Iterator[tuple[str, int]]:
    if id(node) in seen:  # An anchor again: aliases of aliases would be told without end.
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        parts = [(str(key.value), key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        parts = [(str(at), value, value) for at, value in enumerate(node.value)]
    else:
        return
    for name, start, value in parts:
        yield f"{prefix}{name}", start.start_mark.line + 1
        yield from _lines(value, f"{prefix}{name}.", seen)
