"""User errors, atomic writes, JSON and CSV. Imports no other module of this project."""

from __future__ import annotations

import contextlib
import csv
import glob
import hashlib
import itertools
import json
import math
import os
import re
import shutil
import sys
import tempfile
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_UMASK = os.umask(0)  # read only here: reading sets it to 0 for a moment, in which another thread could create a file
os.umask(_UMASK)


class UserError(Exception):
    """A mistake that the user can correct. The message is one line: what is wrong, where, what to do."""


class LockedError(UserError):
    """Another process is writing the folder."""


def list_some(items: Iterable, limit: int = 8) -> str:
    """Return at most `limit` items as text for an error line: 'a, b, c and 5 more'."""
    names = [str(item) for item in items]
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def find_named(what: str, name: str, table: Mapping[str, T]) -> T:
    """Return `table[name]`. Raises `UserError` that lists the known names if `name` is unknown."""
    check_named(what, name, table)
    return table[name]


def check_named(what: str, name: str, names: Collection[str]) -> None:
    """Raise `UserError` that lists the known `names` if `name` is not among them."""
    if name not in names:
        raise UserError(f"unknown {what} {name!r}: use {', '.join(names)}")


def nfc(text: str) -> str:
    """Return a name with composed letters. macOS writes e.g. an umlaut as two characters, other systems as one."""
    return unicodedata.normalize("NFC", text)


def natural_key(text: str) -> list:
    """Return a sort key that puts video2 before video10."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"(\d+)", str(text))]


def short_names(names: Iterable[str], width: int) -> list[str]:
    """Return the names in at most `width` letters; "…" replaces the middle of longer ones.

    Different names stay different, and no number is cut if possible: the place of the "…" moves, or only the part that
    differs is kept. Names that differ in several places are numbered.
    """
    names = [str(name) for name in names]
    heads = sorted(range(width), key=lambda head: abs(head - width // 2))
    cuts = [lambda name, head=head: f"{name[:head]}…{name[len(name) - width + 1 + head :]}" for head in heads]
    starts = range(max(map(len, names), default=0) - width)
    cuts += [lambda name, at=at: f"…{name[at : at + width - 2]}…" for at in starts]
    for whole_numbers, cut in itertools.product((True, False), cuts):
        found = [name if len(name) <= width else cut(name) for name in names]
        if len(set(found)) < len(set(names)):
            continue
        numbers = (set(re.findall(r"\d+", text)) for pair in zip(found, names) for text in pair)
        if not whole_numbers or all(shown <= given for shown, given in zip(numbers, numbers)):
            return found
    return [name if len(name) <= width else f"{name[: width - 5]}…{names.index(name) + 1}" for name in names]


def is_hidden(name: str) -> bool:
    """Return True for files that operating systems write into folders (`._x`, `.DS_Store`, `Thumbs.db`): no data."""
    return name.startswith(".") or name.lower() in ("thumbs.db", "desktop.ini") or name == "__MACOSX"


@contextlib.contextmanager
def atomic_path(path: Path | str, *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it replaces `path` on success and is removed on failure.

    `durable`: the content is on the disk before it replaces `path`, also if the power fails.
    """
    path = Path(path)
    make_folder(path.parent)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=f".part{path.suffix}", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_UMASK)
            if durable:
                write_through(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def write_through(path: Path) -> None:
    """Wait until the content of a file is on the disk. Raises OSError, such as for a full disk."""
    with path.open("r+b") as stream:
        os.fsync(stream.fileno())


@contextlib.contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; it becomes `path` on success and is removed on failure.

    Raises `UserError` if `path` exists.
    """
    path = Path(path).absolute()
    if path.exists():
        raise UserError(f"{path} exists, and nothing in it is written over: choose another name, or move it away")
    temporary = make_folder(path.with_name(f".{path.name}.{os.getpid()}.part"))
    try:
        yield temporary
        temporary.rename(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def sole_writer(folder: Path | str) -> Iterator[None]:
    """Lock `folder` against other processes that write into it. Raises `LockedError` if one holds the lock.

    The operating system releases the lock when the process ends, even if it is killed. Without locks on its disk
    it prints a warning.
    """
    folder = Path(folder).absolute()
    parent_writable = os.access(make_folder(folder.parent), os.W_OK)
    path = folder.parent / f".{folder.name}.lock" if parent_writable else folder / ".lock"
    try:
        stream = path.open("a")
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error.strerror or error}") from error
    with stream:
        try:
            if not _lock(stream.fileno()):
                warning = "its disk has no file locks; let no second process write there (--share K/N divides videos)"
                print(f"Warning: {folder}: {warning}", file=sys.stderr)
            if not os.path.samestat(os.fstat(stream.fileno()), path.stat()):
                raise BlockingIOError  # its holder removed it, and another process may have locked a new one
        except (BlockingIOError, PermissionError, FileNotFoundError) as error:
            raise LockedError(f"another process is writing {folder}; wait for it, or choose another folder") from error
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows cannot remove an open file: an empty file stays
                path.unlink()


def _lock(descriptor: int) -> bool:
    """Lock an open file. Return False if the file system has no locks. Raises an error if it is locked already."""
    try:
        import fcntl
    except ImportError:
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise
    except OSError:
        return False
    return True


def remove_leftovers(*paths: Path) -> None:
    """Remove the temporary files of `atomic_path` that killed processes have left beside `paths`."""
    for path in paths:
        for temporary in path.parent.glob(f".{glob.escape(path.name)}.*.part{glob.escape(path.suffix)}"):
            temporary.unlink(missing_ok=True)


def make_folder(path: Path | str) -> Path:
    """Create a folder and its parents. Raises `UserError` for a file of that name or a missing permission."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create folder {path}: {error.strerror or error}") from error
    return path


def check_folder(path: Path | str) -> None:
    """Raise `UserError` if `path` could not be created or written into. Creates nothing."""
    path = Path(path).absolute()
    nearest = next(folder for folder in (path, *path.parents) if folder.exists())
    if not nearest.is_dir():
        raise UserError(f"cannot write into {path}: {nearest} is a file")
    if not os.access(nearest, os.W_OK):
        raise UserError(f"cannot write into {path}: no right to write in {nearest}")


def write_bytes(path: Path | str, data: bytes, *, durable: bool = False) -> None:
    with atomic_path(path, durable=durable) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path | str, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def plain(value):
    """Convert a value for JSON: NaN and infinity to None, arrays to lists, `Path` and other objects to text."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def write_json(path: Path | str, value) -> None:
    """Write strict JSON (NaN as null), atomically."""
    write_text(path, json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path | str):
    """Read JSON. Raises `UserError` that names the file if it is missing or broken."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error})") from error


def write_csv(path: Path | str, fields: Iterable[str], rows: Iterable[dict]) -> None:
    """Write rows of dicts as CSV with the header `fields`, atomically."""
    with atomic_path(path) as temporary:
        write_rows(temporary, fields, rows)


def write_rows(path: Path, fields: Iterable[str], rows: Iterable[dict]) -> None:
    """Write as `write_csv`, straight into `path`: within a block of `atomic_path`."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(fields), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path | str, required: Iterable[str] = ()) -> list[dict[str, str]]:
    """Return the rows of a CSV file as dicts of strings. Raises `UserError` for a missing file or column."""
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
            missing = [name for name in required if name not in (reader.fieldnames or [])]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a readable CSV file ({error})") from error
    if missing:
        raise UserError(f"{path} has no column {list_some(missing)}")
    return rows


def file_sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
