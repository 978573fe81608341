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
        with path.open(encoding="utf-8") as stream:
            root = yaml.compose(stream, Loader=yaml.SafeLoader)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: not readable as YAML: {error}") from None
    return dict(_lines(root, ""))


def _lines(node: yaml.Node | None, prefix: str) -> Iterator[tuple[str, int]]:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        yield name, key.start_mark.line + 1
        yield from _lines(value, f"{name}.")
