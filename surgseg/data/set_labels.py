"""The labels of a public data set, which of them are instruments, and the class schemes that follow."""

from __future__ import annotations

import colorsys
from typing import NamedTuple, Union

from surgseg.files import UserError, list_some
from surgseg.labels import SCHEMES, LabelClass, Scheme, binary_scheme, load_scheme

Stored = Union[int, tuple, None]  # what a set's files store for a label: a gray level, an RGB colour; None: its name
INSTRUMENTS = "instruments"  # name of the scheme in which each instrument label is a class


class SetLabels(NamedTuple):
    """A data set's labels by name, with what its files store: the instruments, the other labels, those that are void.

    The source code of a label is its gray level. Without one, it is the label's place in the order other, instrument,
    void; the first of the others is then background, which has code 0.
    """

    instrument: dict[str, Stored]
    other: dict[str, Stored]
    void: dict[str, Stored] = {}  # noqa: RUF012 - nobody changes it

    @property
    def codes(self) -> dict[str, int]:
        """The source code of each label."""
        everything = {**self.other, **self.instrument, **self.void}
        return {
            name: stored if isinstance(stored, int) else place
            for place, (name, stored) in enumerate(everything.items())
        }

    def codes_of(self, names: dict[str, Stored]) -> list[int]:
        return [self.codes[name] for name in names]

    @property
    def colours(self) -> dict[tuple, int]:
        """The source code of each RGB colour."""
        return {
            stored: self.codes[name] for group in self for name, stored in group.items() if isinstance(stored, tuple)
        }


def set_scheme(labels: SetLabels, name: str | None) -> Scheme:
    """The class scheme of that name for a data set: binary (default), `INSTRUMENTS`, a scheme or file that names all
    codes of the set. Raises `UserError` for another."""
    if name in (None, "binary"):
        codes = (labels.codes_of(group) for group in (labels.instrument, labels.void, labels.other))
        return binary_scheme(*codes)
    if name == INSTRUMENTS:
        return _scheme_of_instruments(labels)
    scheme = load_scheme(name)
    lookup = scheme.lookup()
    if missing := [f"{code} {label}" for label, code in labels.codes.items() if lookup[code] < 0]:
        others = [known for known in SCHEMES if known != "binary"]
        raise UserError(
            f"--class-scheme {name} does not name these codes of the data set: {list_some(missing, 40)}; use binary, "
            f"{INSTRUMENTS} or a JSON file with these codes ({', '.join(others)} are for other sets)"
        )
    return scheme


def _scheme_of_instruments(labels: SetLabels) -> Scheme:
    """A class for each instrument label; all other labels are background."""
    classes = [LabelClass(0, "background", tuple(labels.codes_of(labels.other)), (0, 0, 0))]
    for number, name in enumerate(labels.instrument, 1):
        hue, bright = number * 0.618 % 1, 1 - number % 3 * 0.15  # far apart, and no colour twice
        colour = tuple(round(255 * level) for level in colorsys.hsv_to_rgb(hue, 0.8, bright))
        classes.append(LabelClass(number, name, (labels.codes[name],), colour, True))
    return Scheme(INSTRUMENTS, tuple(classes), tuple(labels.codes_of(labels.void)))
