"""Class schemes and the CholecSeg8k code table.

A *code* is the gray level that a data set stores in its masks. A *class id* is the class that a model predicts.
CholecSeg8k's watershed codes follow Hong et al. 2020, "CholecSeg8k: a semantic segmentation dataset for
laparoscopic cholecystectomy based on Cholec80" (arXiv:2012.12453). The paper numbers the grasper 5 and the
L-hook 9, but in a watershed mask code 5 is the liver ligament; the instruments are codes 31 and 32.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from surgseg.files import UserError, list_some, read_json, write_json

VOID = 255


@dataclass(frozen=True)
class Code:
    """One row of the CholecSeg8k table: watershed code, class id of the paper, name, RGB colour for display."""

    code: int
    paper_id: int
    name: str
    colour: tuple[int, int, int]


CHOLECSEG8K = (
    Code(50, 0, "black background", (0, 0, 0)),
    Code(11, 1, "abdominal wall", (210, 140, 140)),
    Code(21, 2, "liver", (170, 60, 60)),
    Code(13, 3, "gastrointestinal tract", (231, 155, 100)),
    Code(12, 4, "fat", (235, 205, 110)),
    Code(31, 5, "grasper", (0, 158, 230)),
    Code(23, 6, "connective tissue", (205, 185, 200)),
    Code(24, 7, "blood", (130, 0, 0)),
    Code(25, 8, "cystic duct", (150, 190, 90)),
    Code(32, 9, "l-hook electrocautery", (0, 200, 130)),
    Code(22, 10, "gallbladder", (120, 170, 60)),
    Code(33, 11, "hepatic vein", (70, 60, 160)),
    Code(5, 12, "liver ligament", (190, 110, 170)),
)
CHOLECSEG8K_VOID = (0, 255)
INSTRUMENT_CODES = (31, 32)
_TABLE = {row.code: row for row in CHOLECSEG8K}
_NAMES = {**{row.code: row.name for row in CHOLECSEG8K}, **dict.fromkeys(CHOLECSEG8K_VOID, "void")}
_INSTRUMENT_COLOUR = (0, 158, 230)


@dataclass(frozen=True)
class LabelClass:
    """One class of a scheme: id, name, its source codes, RGB colour, whether it is an instrument."""

    id: int
    name: str
    codes: tuple[int, ...]
    colour: tuple[int, int, int]
    instrument: bool = False


@dataclass(frozen=True)
class Scheme:
    """A named list of classes with ids 0..K-1, and the source codes that are void."""

    name: str
    classes: tuple[LabelClass, ...]
    void_codes: tuple[int, ...] = CHOLECSEG8K_VOID

    def __post_init__(self):
        ids, count = [item.id for item in self.classes], len(self.classes)
        codes = [code for item in self.classes for code in item.codes] + list(self.void_codes)
        twice = sorted({code for code in codes if codes.count(code) > 1})
        instruments = [item.name.lower() for item in self.classes if item.instrument]
        colours = [item.colour for item in self.classes]
        colours_valid = all(len(colour) == 3 and all(0 <= level <= 255 for level in colour) for colour in colours)
        rules = (
            (ids == list(range(max(count, 2))), "ids must be 0, 1, ... in order, at least two of them"),
            (count <= VOID, f"{count} classes; a mask holds at most {VOID}"),
            (len(set(self.names)) == count, "two classes have the same name"),
            (colours_valid, "a colour is three levels of 0..255"),
            (instruments, 'no class is marked "instrument": true'),
            ("background" not in instruments, "the class background cannot be an instrument"),
            (not twice, f"code {list_some(twice)} is given twice, among classes and void"),
            (all(0 <= code <= 255 for code in codes), "codes must lie in 0..255"),
        )
        for holds, problem in rules:
            if not holds:
                raise UserError(f"class scheme {self.name!r}: {problem}")

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> list[str]:
        return [item.name for item in self.classes]

    @property
    def instrument_ids(self) -> list[int]:
        return [item.id for item in self.classes if item.instrument]

    @property
    def code_names(self) -> dict[int, str]:
        """Display name of each code: CholecSeg8k's if its class, and each other one with a list of codes (not "every
        remaining code"), has CholecSeg8k codes only; else that of the class."""
        names = dict.fromkeys(self.void_codes, "void")
        listed = {code for item in self.classes if len(item.codes) <= 100 for code in item.codes}
        all_known = listed - set(CHOLECSEG8K_VOID) <= set(_TABLE)
        for item in self.classes:
            own = set(item.codes) - set(CHOLECSEG8K_VOID)
            known = all_known and own and own <= set(_TABLE)
            names.update({code: _NAMES[code] if known else item.name for code in item.codes})
        return names

    def lookup(self) -> np.ndarray:
        """Return (256,) int16: the class id of each source code, 255 for void, -1 for a code not in the scheme."""
        table = np.full(256, -1, np.int16)
        for item in self.classes:
            table[list(item.codes)] = item.id
        table[list(self.void_codes)] = VOID
        return table

    def palette(self) -> list[int]:
        """Return the 768 values for an indexed PNG. Void is light gray: visible, and the colour of no class."""
        colours = np.zeros((256, 3), np.uint8)
        colours[: self.num_classes] = [item.colour for item in self.classes]
        colours[VOID] = (224, 224, 224)
        return colours.reshape(-1).tolist()

    def to_json(self) -> dict:
        rows = [{**asdict(item), "codes": list(item.codes), "colour": list(item.colour)} for item in self.classes]
        return {"name": self.name, "classes": rows, "void_codes": list(self.void_codes)}

    @staticmethod
    def from_json(value: dict, origin: str = "class scheme") -> Scheme:
        """Build a scheme from the dict of `to_json` or of a user's file. Raises `UserError` that names `origin`."""
        try:
            classes = tuple(
                LabelClass(
                    int(row["id"]),
                    str(row["name"]),
                    tuple(int(code) for code in row.get("codes", ())),
                    tuple(int(level) for level in row.get("colour", _INSTRUMENT_COLOUR)),
                    bool(row.get("instrument", False)),
                )
                for row in value["classes"]
            )
            codes = {code for item in classes for code in item.codes}
            void_codes = tuple(int(code) for code in value.get("void_codes", default_void(codes)))
            return Scheme(str(value.get("name", "custom")), classes, void_codes)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{origin}: not a class scheme ({error!r}); it needs classes with id, name, codes, instrument"
            ) from error


def default_void(codes: Iterable[int]) -> tuple[int, ...]:
    """Return the void codes where none are given: CholecSeg8k's for codes of its table with a tool, else ()."""
    codes = set(codes)
    return CHOLECSEG8K_VOID if codes & set(INSTRUMENT_CODES) and codes <= _TABLE.keys() else ()


def _table_codes(*without: int) -> tuple[int, ...]:
    return tuple(row.code for row in CHOLECSEG8K if row.code not in without)


def binary_scheme(
    instrument_codes: Iterable[int] = INSTRUMENT_CODES,
    void_codes: Iterable[int] | None = None,
    background_codes: Iterable[int] | None = None,
) -> Scheme:
    """Return a scheme of background and instrument from lists of source codes.

    Without `void_codes` they are those of `default_void`. Without `background_codes` the background is the other codes
    of CholecSeg8k if the instruments are CholecSeg8k's, otherwise every remaining code. Raises `UserError` if the lists
    overlap or a code is not in 0..255.
    """
    instrument = tuple(dict.fromkeys(instrument_codes))
    void = default_void(instrument) if void_codes is None else tuple(dict.fromkeys(void_codes))
    if background_codes is None:
        candidates = _table_codes() if set(instrument) == set(INSTRUMENT_CODES) else range(256)
        background_codes = (code for code in candidates if code not in instrument + void)
    background = tuple(dict.fromkeys(background_codes))
    lists = {"instrument": instrument, "void": void, "background": background}
    for first, second in itertools.combinations(lists, 2):
        both = sorted(set(lists[first]) & set(lists[second]))
        if both:
            raise UserError(f"code {list_some(both)} is listed both as {first} and as {second}")
    classes = (
        LabelClass(0, "background", background, (0, 0, 0)),
        LabelClass(1, "instrument", instrument, _INSTRUMENT_COLOUR, True),
    )
    return Scheme("binary", classes, void)


def _class_of(id_: int, code: int, instrument: bool = False) -> LabelClass:
    row = _TABLE[code]
    return LabelClass(id_, row.name, (code,), row.colour, instrument)


def _endovit8() -> Scheme:
    """The 8 classes of EndoViT (Batić et al. 2024): both tools are one class, rare structures are background."""
    kept = (11, 21, 13, 12, 22)
    background = LabelClass(0, "background", _table_codes(31, 32, 23, *kept), (0, 0, 0))
    tissues = [_class_of(index + 1, code) for index, code in enumerate(kept)]
    tool = LabelClass(6, "instrument", INSTRUMENT_CODES, _INSTRUMENT_COLOUR, True)
    return Scheme("endovit8", (background, *tissues, tool, _class_of(7, 23)))


SCHEMES = {
    "binary": binary_scheme(),
    "grasper-hook": Scheme(
        "grasper-hook",
        (
            LabelClass(0, "background", _table_codes(31, 32), (0, 0, 0)),
            _class_of(1, 31, True),
            LabelClass(2, "l-hook", (32,), _TABLE[32].colour, True),
        ),
    ),
    "endovit8": _endovit8(),
    "full13": Scheme(
        "full13", tuple(_class_of(row.paper_id, row.code, row.code in INSTRUMENT_CODES) for row in CHOLECSEG8K)
    ),
    "parts": Scheme(
        "parts",
        (
            LabelClass(0, "background", (0,), (0, 0, 0)),
            LabelClass(1, "shaft", (160,), _INSTRUMENT_COLOUR, True),
            LabelClass(2, "manipulator", (70,), (240, 160, 0), True),
        ),
        (),
    ),
}


def void_as_background(scheme: Scheme) -> Scheme:
    """Return the scheme with every void code as a code of class 0, as the original study counted them."""
    first = scheme.classes[0]
    merged = replace(first, codes=first.codes + scheme.void_codes)
    return replace(scheme, classes=(merged, *scheme.classes[1:]), void_codes=())


def load_scheme(name_or_path: str) -> Scheme:
    """Return the scheme of that name, or of a user's JSON file. Raises `UserError` for anything else."""
    if name_or_path in SCHEMES:
        return SCHEMES[name_or_path]
    if not str(name_or_path).endswith(".json"):
        raise UserError(f"unknown class scheme {name_or_path!r}: use {', '.join(SCHEMES)} or a .json file")
    return read_scheme(name_or_path)


def numbered_scheme(count: int, names: list[str] | None = None, instruments: list[str] | None = None) -> Scheme:
    """Return a scheme for masks that already hold ids.

    The instruments are the classes named in `instruments`, else those whose names are instruments of `SCHEMES`, such as
    grasper. Of two classes with another name, class 1 is the instrument. Raises `UserError` if a name of `instruments`
    is no class, or if the names do not tell which of more classes are instruments.
    """
    names = names or ["background", *(f"class {index}" for index in range(1, count))]
    plain = [plain_name(name) for name in names]
    if instruments:
        chosen = [plain_name(name) for name in instruments]
        if unknown := [name for name in instruments if plain_name(name) not in plain]:
            raise UserError(f"--instrument-classes {list_some(unknown)}: the classes are {list_some(names, 20)}")
        flags = [name in chosen for name in plain]
    else:
        known = {plain_name(item.name): item.instrument for scheme in SCHEMES.values() for item in scheme.classes}
        flags = [known.get(name, count == 2) and (index > 0 or name in known) for index, name in enumerate(plain)]
        unknown = [name for name, own in zip(names[1:], plain[1:]) if own not in known]
        if (unknown and count > 2) or not any(flags):
            what = f"{list_some(unknown)}: not known" if unknown else f"{list_some(names)}: all known as tissue"
            raise UserError(f"which classes are instruments? ({what}). Name them with --instrument-classes NAME ...")
    colours = [(0, 0, 0), *(row.colour for row in CHOLECSEG8K[5:] + CHOLECSEG8K[1:5])]
    classes = [
        LabelClass(index, name, (index,), colours[index % len(colours)], flag)
        for index, (name, flag) in enumerate(zip(names, flags))
    ]
    return Scheme("numbered", tuple(classes), (VOID,))


def plain_name(name: str) -> str:
    """A class name for comparison: "L-hook_Electrocautery" is "l hook electrocautery"."""
    return re.sub(r"[\W_]+", " ", name).strip().lower()


def read_scheme(path: Path | str) -> Scheme:
    """Read the scheme from a `classes.json`. Raises `UserError` that names the file."""
    return Scheme.from_json(read_json(path), str(path))


def write_scheme(path: Path, scheme: Scheme) -> None:
    write_json(path, scheme.to_json())
