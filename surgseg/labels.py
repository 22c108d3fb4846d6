"""Class schemes and the CholecSeg8k code table.

A *code* is the gray level a data set stores in its masks; a *class id* is what a model is trained on.
CholecSeg8k's watershed codes follow Hong et al. 2020, "CholecSeg8k: a semantic segmentation dataset for
laparoscopic cholecystectomy based on Cholec80" (arXiv:2012.12453). The paper numbers the grasper 5 and the
L-hook 9, but in a watershed mask 5 is the liver ligament: the instruments are the codes 31 and 32.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from surgseg.files import UserError, list_some, read_json, write_json

VOID = 255


@dataclass(frozen=True)
class Code:
    """One row of the CholecSeg8k table: watershed code, the paper's class id, name, RGB colour for display."""

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
_INSTRUMENT_COLOUR = (0, 158, 230)


@dataclass(frozen=True)
class LabelClass:
    """One class of a scheme: id, name, the source codes it collects, RGB colour, whether it is an instrument."""

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
        if [item.id for item in self.classes] != list(range(len(self.classes))) or len(self.classes) < 2:
            raise UserError(f"class scheme {self.name!r}: ids must be 0, 1, ... in order, at least two of them")
        if len(self.classes) > VOID:
            raise UserError(f"class scheme {self.name!r}: {len(self.classes)} classes; a mask holds at most {VOID}")
        if len(set(self.names)) < len(self.names):
            raise UserError(f"class scheme {self.name!r}: two classes have the same name")
        if any(len(item.colour) != 3 or not all(0 <= level <= 255 for level in item.colour) for item in self.classes):
            raise UserError(f"class scheme {self.name!r}: a colour is three levels of 0..255")
        if not self.instrument_ids:
            raise UserError(f'class scheme {self.name!r}: no class is marked "instrument": true')
        codes = [code for item in self.classes for code in item.codes] + list(self.void_codes)
        twice = sorted({code for code in codes if codes.count(code) > 1})
        if twice:
            raise UserError(
                f"class scheme {self.name!r}: code {list_some(twice)} is given twice, among classes and void"
            )
        if any(not 0 <= code <= 255 for code in codes):
            raise UserError(f"class scheme {self.name!r}: codes must lie in 0..255")

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
        """Display name of every code the scheme lists: the CholecSeg8k name where it is that table's code."""
        names = dict.fromkeys(self.void_codes, "void")
        for item in self.classes:
            for code in item.codes:
                own = set(item.codes) - set(CHOLECSEG8K_VOID)
                if own and own <= set(_TABLE):
                    names[code] = _TABLE[code].name if code in _TABLE else "void"
                else:
                    names[code] = item.name
        return names

    def lookup(self) -> np.ndarray:
        """(256,) int16: source code -> class id, 255 for void, -1 for a code the scheme does not know."""
        table = np.full(256, -1, np.int16)
        for item in self.classes:
            table[list(item.codes)] = item.id
        table[list(self.void_codes)] = VOID
        return table

    def palette(self) -> list[int]:
        """768 values for an indexed PNG; void is light gray, so that it is visible but no class."""
        colours = np.zeros((256, 3), np.uint8)
        for item in self.classes:
            colours[item.id] = item.colour
        colours[VOID] = (224, 224, 224)
        return colours.reshape(-1).tolist()

    def to_json(self) -> dict:
        rows = [
            {
                "id": item.id,
                "name": item.name,
                "codes": list(item.codes),
                "colour": list(item.colour),
                "instrument": item.instrument,
            }
            for item in self.classes
        ]
        return {"name": self.name, "classes": rows, "void_codes": list(self.void_codes)}

    @staticmethod
    def from_json(value: dict, origin: str = "class scheme") -> Scheme:
        """Rebuild a scheme from `to_json`'s dict (or a user's file); errors name `origin`."""
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
            void_codes = tuple(int(code) for code in value.get("void_codes", CHOLECSEG8K_VOID))
            return Scheme(str(value.get("name", "custom")), classes, void_codes)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{origin}: not a class scheme ({error!r}); it needs classes with id, name, codes, instrument"
            ) from error


def _tissue_codes(*without: int) -> tuple[int, ...]:
    return tuple(row.code for row in CHOLECSEG8K if row.code not in without)


def _class_of(id_: int, code: int, instrument: bool = False) -> LabelClass:
    row = _TABLE[code]
    return LabelClass(id_, row.name, (code,), row.colour, instrument)


def _endovit8() -> Scheme:
    """EndoViT's 8 classes (Batić et al. 2024): both tools merged, rare structures in the background."""
    kept = (11, 21, 13, 12, 22)
    background = LabelClass(0, "background", _tissue_codes(31, 32, 23, *kept), (0, 0, 0))
    middle = [_class_of(index + 1, code) for index, code in enumerate(kept)]
    tool = LabelClass(6, "instrument", INSTRUMENT_CODES, _INSTRUMENT_COLOUR, True)
    connective = LabelClass(7, "connective tissue", (23,), _TABLE[23].colour)
    return Scheme("endovit8", (background, *middle, tool, connective))


SCHEMES = {
    "binary": Scheme(
        "binary",
        (
            LabelClass(0, "background", _tissue_codes(31, 32), (0, 0, 0)),
            LabelClass(1, "instrument", INSTRUMENT_CODES, _INSTRUMENT_COLOUR, True),
        ),
    ),
    "grasper-hook": Scheme(
        "grasper-hook",
        (
            LabelClass(0, "background", _tissue_codes(31, 32), (0, 0, 0)),
            _class_of(1, 31, True),
            LabelClass(2, "l-hook", (32,), _TABLE[32].colour, True),
        ),
    ),
    "endovit8": _endovit8(),
    "full13": Scheme(
        "full13",
        tuple(_class_of(row.paper_id, row.code, row.code in INSTRUMENT_CODES) for row in CHOLECSEG8K),
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


def binary_scheme(
    instrument_codes: Iterable[int] = INSTRUMENT_CODES,
    void_codes: Iterable[int] = CHOLECSEG8K_VOID,
    background_codes: Iterable[int] | None = None,
) -> Scheme:
    """Background and instrument from lists of source codes.

    Without `background_codes` it is CholecSeg8k's other classes where the instruments are CholecSeg8k's, otherwise
    every remaining code. Raises `UserError` where the lists overlap or leave 0..255.
    """
    instrument, void = tuple(dict.fromkeys(instrument_codes)), tuple(dict.fromkeys(void_codes))
    if background_codes is not None:
        background = tuple(dict.fromkeys(background_codes))
    elif set(instrument) == set(INSTRUMENT_CODES):
        background = tuple(code for code in _tissue_codes(*instrument) if code not in void)
    else:
        background = tuple(code for code in range(256) if code not in instrument and code not in void)
    lists = {"instrument": instrument, "void": void, "background": background}
    for first, second in (("instrument", "void"), ("instrument", "background"), ("void", "background")):
        both = sorted(set(lists[first]) & set(lists[second]))
        if both:
            raise UserError(f"code {list_some(both)} is listed both as {first} and as {second}")
    classes = (
        LabelClass(0, "background", background, (0, 0, 0)),
        LabelClass(1, "instrument", instrument, _INSTRUMENT_COLOUR, True),
    )
    return Scheme("binary", classes, void)


def void_as_background(scheme: Scheme) -> Scheme:
    """The same classes with every void code counted as class 0, as the original study did."""
    first = scheme.classes[0]
    merged = replace(first, codes=first.codes + scheme.void_codes)
    return replace(scheme, classes=(merged, *scheme.classes[1:]), void_codes=())


def load_scheme(name_or_path: str) -> Scheme:
    """A scheme by its name, or from a JSON file of the user's. Raises `UserError` for anything else."""
    if name_or_path in SCHEMES:
        return SCHEMES[name_or_path]
    if not str(name_or_path).endswith(".json"):
        raise UserError(f"unknown class scheme {name_or_path!r}: use {', '.join(SCHEMES)} or a .json file")
    return Scheme.from_json(read_json(name_or_path), str(name_or_path))


def numbered_scheme(count: int, names: list[str] | None = None) -> Scheme:
    """A scheme for masks that already hold ids: class 0 is background, every other an instrument."""
    names = names or ["background", *(f"class {index}" for index in range(1, count))]
    colours = [(0, 0, 0), *(row.colour for row in CHOLECSEG8K[5:] + CHOLECSEG8K[1:5])]
    classes = [
        LabelClass(index, name, (index,), colours[index % len(colours)], index > 0) for index, name in enumerate(names)
    ]
    return Scheme("numbered", tuple(classes), (VOID,))


def read_scheme(path: Path) -> Scheme:
    """The scheme in a `classes.json`."""
    return Scheme.from_json(read_json(path), str(path))


def write_scheme(path: Path, scheme: Scheme) -> None:
    write_json(path, scheme.to_json())
