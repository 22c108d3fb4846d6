"""Scores of groups of frames: by size of the instrument, source class, brightness, sharpness, place, phase.

A trait is (N,) of the frames: floats, which are grouped by thirds, or names, which are a group each.

- `coverage`: true share of the instrument among the frame's pixels.
- `source_class`: which classes of instrument the truth shows, such as "grasper only" (`name_classes`).
- `brightness`, `sharpness`: those of `surgseg.appearance`.
- `border_distance`: median distance of the true instrument pixels to the border of the view (`border_distance` in
  `surgseg.view`), as a share of the view's height. It is small where only a tip or a shaft at the border shows, and
  near .5 in the middle. That an instrument touches the border would divide little: nearly all come in there.
- `phase`: the phase of the operation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from surgseg.appearance import MEASURES
from surgseg.files import natural_key
from surgseg.scores.distribution import nanmean

STRATA = {  # trait -> name of the groups
    "coverage": "Size of the instrument (% of the frame)",
    "source_class": "Class of the instrument",
    "brightness": MEASURES["brightness"],
    "sharpness": MEASURES["sharpness"],
    "border_distance": "Distance to the border of the view (% of its height)",
    "phase": "Phase",
}
_FORMS = {"coverage": (100, ".2f"), "brightness": (1, ".1f"), "sharpness": (1, ".0f"), "border_distance": (100, ".1f")}
SEVERAL = ("both", "several")
FEW = 10  # frames; a group of fewer is marked
FEW_MEANS = f"*: fewer than {FEW} frames, which say little."


def scores_by_stratum(
    traits: Mapping[str, np.ndarray], frames: Mapping[str, np.ndarray], videos: np.ndarray
) -> dict[str, list[dict[str, Any]]]:
    """Return, for each trait, its groups of the frames that have an IoU.

    A group is `name`, or `from` and `to` of a third; its number of `frames` and of their `videos`, (N,) names; and
    `mean`: that of each score in `frames`, (N,) float, over the frames that have it. Frames whose trait is NaN or ""
    are in no group. Equal values are in one third, so there may be fewer than three.
    """
    scored, found = ~np.isnan(frames["iou"]), {}
    for trait, values in traits.items():
        if values.dtype.kind == "f":
            ends = np.nanquantile(values[scored], [1 / 3, 2 / 3]) if (scored & ~np.isnan(values)).any() else [0, 0]
            place = np.searchsorted(ends, values)
            masks = [scored & ~np.isnan(values) & (place == number) for number in range(3)]
            groups = [({"from": values[m].min(), "to": values[m].max()}, m) for m in masks if m.any()]
        else:
            names = sorted(set(values[scored].tolist()) - {""}, key=lambda name: (name in SEVERAL, natural_key(name)))
            groups = [({"name": name}, scored & (values == name)) for name in names]
        found[trait] = [
            {
                **about,
                "frames": int(mask.sum()),
                "videos": len(set(videos[mask].tolist())),
                "mean": {score: nanmean(of_frames[mask]) for score, of_frames in frames.items()},
            }
            for about, mask in groups
        ]
    return found


def named_groups(strata: Mapping[str, list[dict[str, Any]]]) -> dict[str, list[tuple[str, str, dict[str, Any]]]]:
    """Return, by the label of each trait with groups, the name of each group, such as "1.20 to 3.45" for a third, its
    number of frames, with * if they are `FEW`, and the group. `strata` is what `scores_by_stratum` returns."""
    return {
        label: [
            (_name(trait, group), f"{group['frames']}{'*' * (group['frames'] < FEW)}", group) for group in strata[trait]
        ]
        for trait, label in STRATA.items()
        if strata.get(trait)
    }


def _name(trait: str, group: Mapping[str, Any]) -> str:
    if "name" in group:
        return group["name"]
    scale, form = _FORMS[trait]
    return " to ".join(dict.fromkeys(format(scale * group[end], form) for end in ("from", "to")))


def name_classes(shown: Sequence[Sequence[str]]) -> np.ndarray:
    """Name the classes that each frame shows: "" for none, "grasper only", and "several", or "both" if all the frames
    show two classes."""
    several = SEVERAL[len({name for names in shown for name in names}) > 2]
    return np.array([several if len(names) > 1 else f"{names[0]} only" if names else "" for names in shown], object)
