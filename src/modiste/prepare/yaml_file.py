"""A YAML file that a person wrote, or one clear word about why it cannot be read."""

from __future__ import annotations

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
