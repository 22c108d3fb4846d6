"""Source files of a preparation: find them in a folder or a zip, read their bytes, check them for damage."""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Callable

from surgseg.files import IMAGE_SUFFIXES, UserError, is_hidden, list_some, natural_key, nfc, read_json
from surgseg.frames import open_image

MARKER = "synthetic.json"  # file at the root of a folder tree that surgseg.synthetic made
_PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"  # first bytes
_ZIP_LOCK = threading.Lock()
_ARCHIVES = {
    b"Rar!": "RAR",
    b"7z\xbc\xaf": "7z",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
}  # first bytes
_ARCHIVE_SUFFIXES = (".zip", ".rar", ".7z", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst")


@dataclass(frozen=True)
class SourceFile:
    """One file. `name` is its POSIX path below the source root; `stamp` changes when its content changes.

    The name has composed letters (`nfc`) and "/" between folders, whatever the file system or the zip writes.
    """

    name: str
    stamp: str
    path: Path | None = None
    archive: zipfile.ZipFile | None = None
    member: zipfile.ZipInfo | None = None

    @property
    def folders(self) -> tuple[str, ...]:
        return PurePosixPath(self.name).parts[:-1]

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix.lower()

    def content(self) -> Path | bytes:
        """Return its path, or its bytes where it lies in a zip. Raises `UserError` as `read` does."""
        return self.path or self.read()

    def read(self) -> bytes:
        """Return the file's bytes. Raises `UserError` if it cannot be read."""
        try:
            if self.archive is None:
                return self.path.read_bytes()
            with _ZIP_LOCK:  # ZipFile counts its open members without a lock
                member = self.archive.open(self.member)
            try:
                return member.read()
            finally:
                with _ZIP_LOCK:
                    member.close()
        except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, NotImplementedError) as error:
            raise UserError(f"{self.name}: cannot be read ({getattr(error, 'strerror', None) or error})") from error


@dataclass(frozen=True)
class MadeFile(SourceFile):
    """A file that is made of others when it is read: a frame of a film, a cut-out, a mask of several files."""

    make: Callable[[], bytes] = bytes

    def read(self) -> bytes:
        """Return the bytes that `make` returns. Raises `UserError` as `make` does."""
        return self.make()


@contextlib.contextmanager
def open_source(root: Path | str, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> Iterator[tuple[list[SourceFile], str]]:
    """Yield (files of those suffixes, by default images, in natural order, "real" or "synthetic") of a folder or zip.

    Raises `UserError` if it does not exist or is damaged.
    """
    root = Path(root)
    if root.is_dir():
        yield list_folder(root, suffixes), data_kind(root)
        return
    if not root.exists():
        raise UserError(f"{root}: no such folder or zip file")
    kind = _archive_kind(root)
    if kind:
        raise UserError(f"{root} is a {kind} archive, and only zip files are read: unpack it, and give the folder")
    try:
        archive = zipfile.ZipFile(root)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{root} is no folder and no whole zip file ({error}); download it again?") from error
    with archive:
        files = [
            SourceFile(name, f"{info.file_size}:{info.CRC:08x}", archive=archive, member=info)
            for info in archive.infolist()
            if not info.is_dir() and _is_wanted(PurePosixPath(name := _posix(info.filename)).parts, suffixes)
        ]
        synthetic = any(PurePosixPath(_posix(name)).name == MARKER for name in archive.namelist())
        yield _sorted(files), "synthetic" if synthetic else data_kind(root)


def list_folder(root: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> list[SourceFile]:
    """Return the files of those suffixes (images) below a folder, in natural order. Follows each linked folder once."""
    if not root.is_dir():
        raise UserError(f"{root} is not a folder")
    found, seen = [], set()
    for parent, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not is_hidden(name)]
        for name in names:
            path = Path(parent, name)
            if _is_wanted((name,), suffixes) and path.is_file():
                status = path.stat()
                stamp = f"{status.st_size}:{status.st_mtime_ns}"
                found.append(SourceFile(nfc(path.relative_to(root).as_posix()), stamp, path=path))
    return _sorted(found)


def data_kind(folder: Path | str) -> str:
    """The kind of data in a folder: "synthetic" if that is recorded, otherwise "real".

    The record is a prepared folder's audit, a generated folder's run, or the marker of a synthetic stream. It is
    looked for in the folder and in the three folders above it; the nearest record counts.
    """
    folder = Path(folder).resolve()
    for root in (folder, *folder.parents)[:4]:
        for name, key in (("audit.json", "data"), ("run.json", "video_data"), (MARKER, "data")):
            if (root / name).is_file():
                record = read_json(root / name)
                kind = record.get(key, "synthetic" if name == MARKER else None) if isinstance(record, dict) else None
                if kind in ("real", "synthetic"):
                    return kind
    return "real"


def check_whole(data: bytes, name: str) -> None:
    """Raise `UserError` that names the file and the damage if an image file is damaged.

    Checks the chunk checksums of a PNG and the end marker of a JPEG, without decoding them; decodes other formats.
    """
    if not data:
        raise UserError(f"{name}: the file is empty")
    if data.startswith(_PNG):
        _check_png(data, name)
    elif data.startswith(JPEG) and not data.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise UserError(f"{name}: truncated JPEG (no end marker)")
    with open_image(data, name) as image:
        if image.format not in ("PNG", "JPEG"):
            image.load()


def _check_png(data: bytes, name: str) -> None:
    view, position = memoryview(data), len(_PNG)
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            break
        if zlib.crc32(view[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise UserError(f"{name}: damaged PNG (checksum of its {bytes(view[position + 4 : position + 8])} chunk)")
        if view[position + 4 : position + 8] == b"IEND":
            return
        position = end + 4
    raise UserError(f"{name}: truncated PNG ({len(data)} bytes, no end chunk)")


def archives_beside(root: Path | str) -> str:
    """Return a hint for an error, "; ...", if `root`, in which too little was found, holds archives; otherwise ""."""
    root = Path(root)
    if root.is_dir():
        names = [path.relative_to(root).as_posix() for path in root.rglob("*")]
    else:
        with zipfile.ZipFile(root) as archive:
            names = archive.namelist()
    found = sorted((name for name in names if name.lower().endswith(_ARCHIVE_SUFFIXES)), key=natural_key)
    return f"; {root} holds archives, which are not read ({list_some(found, 3)}): unpack them" if found else ""


def _archive_kind(path: Path) -> str:
    """The kind of archive that a file is, by its first bytes; "" for others."""
    with contextlib.suppress(OSError), path.open("rb") as stream:
        head = stream.read(512)
        if head[257:262] == b"ustar":
            return "tar"
        return next((kind for start, kind in _ARCHIVES.items() if head.startswith(start)), "")
    return ""


def _posix(name: str) -> str:
    """The path of a member of a zip. Some Windows tools write backslashes, against the format's rules."""
    return nfc(name.replace("\\", "/"))


def _is_wanted(parts: tuple[str, ...], suffixes: tuple[str, ...]) -> bool:
    return parts[-1].lower().endswith(suffixes) and not any(is_hidden(part) for part in parts)


def _sorted(files: list[SourceFile]) -> list[SourceFile]:
    return sorted(files, key=lambda source: natural_key(source.name))
