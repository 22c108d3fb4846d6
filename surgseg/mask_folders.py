"""What the masks of one folder mean, decided over all its files: what 255 is, and what a palette's index is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from surgseg.files import UserError, list_some
from surgseg.frames import list_images, open_image
from surgseg.labels import VOID, Scheme, read_scheme
from surgseg.masks import BINARY, count_codes, decode_stored, gray_levels, palette_of, sample_bits
from surgseg.threads import cpu_count

MaskFile = tuple[str, Callable[[], "Path | bytes"]]  # its name for errors, and a function: its path or bytes


def settle_masks(
    folder: Path, scheme: Scheme, paths: Iterable[Path] | None = None, *, predictions: bool = False
) -> None:
    """Decide for `read_mask` what 255 means in the masks below `folder`; print it if gray masks hold only 0 and 255.

    `paths` are the masks (default: all images there). 255 is class 1 if there are two classes and every file is gray
    and holds nothing but 0 and 255. Otherwise it is void: if one file is indexed or holds another id, or a classes.json
    lies beside the folder (which says nothing about `predictions`: they hold no void). Raises `UserError` for palettes
    that contradict each other. Files that cannot be decoded are left to `read_mask`.
    """
    BINARY[folder] = False
    files = [(str(path), lambda path=path: path) for path in (list_images(folder) if paths is None else paths)]
    beside = folder.resolve().parent / "classes.json"
    described = not predictions and beside.is_file()
    headers = _headers(files)
    _check_palettes(files, headers, read_scheme(beside) if described else None)
    if scheme.num_classes != 2:
        return
    gray = [file for file, header in zip(files, headers) if header and not header.palette and header.bits > 1]
    stored = {name: values for (name, _), (values, _) in zip(gray, _values(gray))}
    white = [name for name, values in stored.items() if values in ({VOID}, {0, VOID})]
    if not white:
        return
    names = list_some((Path(name).name for name in white), 3)
    indexed = any(header and header.palette for header in headers)
    if described or indexed or any(values - {0, VOID} for values in stored.values()):
        print(
            f"WARNING: {len(white)} gray masks in {folder} hold only 0 and 255 ({names}), and the folder holds class "
            "ids: 255 is void (no label) there too; if it is the instrument, save these masks with ids",
            file=sys.stderr,
        )
        return
    print(f"Masks in {folder} hold only 0 and 255, in all files, so 255 is {scheme.names[1]}")
    BINARY[folder] = True


def codes_are_levels(files: Sequence[MaskFile], scheme: Scheme) -> bool:
    """Decide whether the source codes of `scheme` are the gray levels that a viewer shows, not the stored values.

    The two differ in gray files of fewer than 8 bits and in palettes of grays (`StoredMask.levels`), which a program
    that makes files smaller writes. The reading counts that has instrument codes, or, where no file has any, the one
    whose codes the scheme knows. Raises `UserError` where both have them, and for palettes that contradict each other.
    """
    headers = _headers(files)
    double = [
        file
        for file, header in zip(files, headers)
        if header and (header.bits < 8 if not header.palette else gray_levels(header.palette) is not None)
    ]
    stored, shown = (set().union(*readings) for readings in zip((set(), set()), *_values(double)))
    instruments = {code for item in scheme.classes if item.instrument for code in item.codes}
    as_stored, as_shown = bool(stored & instruments), bool(shown & instruments)
    if as_stored and as_shown:
        raise UserError(
            f"{double[0][0]}: its palette or bit depth shows the values {list_some(sorted(stored))} as the grays "
            f"{list_some(sorted(shown))}, and instrument codes are among both ({len(double)} such files): save the "
            "masks as 8-bit gray"
        )
    if as_stored == as_shown:
        known = set(np.flatnonzero(scheme.lookup() >= 0).tolist())
        as_shown = shown <= known and not stored <= known
    if not as_shown:
        _check_palettes(files, headers)
    return as_shown


class _Header(NamedTuple):
    palette: bytes
    bits: int


def _headers(files: Sequence[MaskFile]) -> list[_Header | None]:
    """The palette and bit depth of each file, without decoding it; None where the file is damaged."""

    def read(file: MaskFile) -> _Header | None:
        try:
            with open_image(file[1](), file[0]) as image:
                return _Header(palette_of(image), sample_bits(image))
        except UserError:
            return None

    return _in_threads(read, files)


def _values(files: Sequence[MaskFile]) -> list[tuple[set[int], set[int]]]:
    """The values that occur in each file, as stored and as the grays that a viewer shows; none where it is damaged."""

    def read(file: MaskFile) -> tuple[set[int], set[int]]:
        try:
            values, _, levels = decode_stored(file[1](), file[0])
        except UserError:
            return set(), set()
        used = np.flatnonzero(count_codes(values))
        return set(used.tolist()), set((used if levels is None else levels[used]).tolist())

    return _in_threads(read, files)


def _in_threads(function: Callable, files: Sequence[MaskFile]) -> list:
    with ThreadPoolExecutor(cpu_count()) as pool:
        return list(pool.map(function, files))


def _check_palettes(files: Sequence[MaskFile], headers: Sequence[_Header | None], scheme: Scheme | None = None) -> None:
    """Raise `UserError` if a colour stands at one index in one file and at another index in another file.

    The palette of `scheme` counts as one more file. Only colours that occur in a file's pixels count.
    """
    indexed = [(file, header.palette) for file, header in zip(files, headers) if header and header.palette]
    known: dict[bytes, tuple[int, str]] = {}
    if scheme is not None:
        colours = bytes(scheme.palette())
        for index in (*range(scheme.num_classes), VOID):
            known[colours[3 * index : 3 * index + 3]] = (index, "classes.json")
    if not _may_disagree({palette for _, palette in indexed}, known):
        return
    for ((name, _), palette), (values, _) in zip(indexed, _values([file for file, _ in indexed])):
        colours = {index: palette[3 * index : 3 * index + 3] for index in sorted(values)}
        for index, colour in colours.items():
            if list(colours.values()).count(colour) > 1:  # several values look alike: the colour tells nothing
                continue
            first, where = known.setdefault(colour, (index, name))
            if first != index:
                raise UserError(
                    f"{name} and {where}: their palettes disagree (the colour {tuple(colour)} is index {index} and "
                    f"{first}), so an index has no common meaning: save the masks with one palette, or as gray"
                )


def _may_disagree(palettes: set[bytes], known: dict) -> bool:
    """Whether a colour stands at two indices, used or not; the first index of a colour counts."""
    places = {colour: index for colour, (index, _) in known.items()}
    for palette in palettes:
        first: dict[bytes, int] = {}
        for index in range(len(palette) // 3):
            first.setdefault(palette[3 * index : 3 * index + 3], index)
        if any(places.setdefault(colour, index) != index for colour, index in first.items()):
            return True
    return False
