"""Files are written whole or not at all, and read with one clear line when they do not fit."""

import json
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .errors import InvalidFileError


def write_whole(path: str | Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then move it there in one step.

    Raises
    ------
    InvalidFileError
        When the folder does not exist or cannot be written to; nothing is left behind.
    """
    path = Path(path)
    if not os.path.isdir(path.parent):  # unlike Path.is_dir, no error for a name that is too long
        raise InvalidFileError(f"Cannot write {str(path)!r}: the folder does not exist.")
    if os.path.isdir(path):
        raise InvalidFileError(f"Cannot write {str(path)!r}: it is a folder.")
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
    except OSError as error:
        raise InvalidFileError(f"Cannot write {str(path)!r}: {error.strerror}.") from None
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes private files
        temporary.replace(path)
    except OSError as error:
        raise InvalidFileError(f"Cannot write {str(path)!r}: {error.strerror or error}.") from None
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: str | Path, content: Any) -> None:
    """Write lists, numbers and names as JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=1))


def read_json(path: str | Path) -> Any:
    """Return the content of a JSON file."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidFileError(f"Cannot read {str(path)!r}: {error.strerror}.") from None
    except ValueError:
        raise InvalidFileError(f"Cannot read {str(path)!r}: it is not JSON.") from None


def check_state(state: Any, name: str, parts: Iterable[str], version: int = 1) -> None:
    """Refuse what was read unless it is a dictionary of format `name` with all its parts."""
    if not isinstance(state, dict) or state.get("format") != name:
        raise InvalidFileError(f"Expected a dictionary of format {name!r}.")
    if state.get("version") != version:
        raise InvalidFileError(
            f"Expected version {version} of {name!r}, got {state.get('version')!r}."
        )
    missing = [part for part in parts if part not in state]
    if missing:
        raise InvalidFileError(f"The dictionary of format {name!r} lacks {missing}.")
