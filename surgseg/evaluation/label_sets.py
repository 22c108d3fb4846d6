"""Two sets of labels of the same frames: how far they agree, where they differ, and a model against both.

The instruments are the union of the instrument classes of each set. A class that both sets have under the same name, as
an instrument, is also compared alone. A pixel that is void in one of the sets counts nowhere. A pixel that is
instrument in one set only is

- border: it lies at most `border` pixels (from centre to centre, Euclidean, in the masks' own size) from an instrument
  pixel of the other set;
- missing: it lies farther away, and is instrument in the first set: it is missing in the second one;
- extra: it lies farther away, and is instrument in the second set.

The three together, divided by the pixels that are instrument in either set, are 1 - IoU.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from surgseg.console import quiet
from surgseg.data.dataset import videos_of_masks
from surgseg.evaluation.results import Scored, score_frame
from surgseg.files import UserError, list_some, natural_key
from surgseg.frames import images_by_name, under_names
from surgseg.labels import SCHEMES, VOID, Scheme, load_scheme, plain_name, read_scheme
from surgseg.mask_folders import settle_masks
from surgseg.masks import read_mask
from surgseg.predicted import WHAT_TO_DO, predicted_masks
from surgseg.reviews import masks_by_name
from surgseg.scores.metrics import instrument_pixels
from surgseg.threads import ahead, cpu_count

BORDER = 5.0  # pixels
THUMB = 64  # pixels: side of the masks in which a shift by one frame is looked for
KINDS = ("neither", "both", "border", "missing", "extra")  # of a pixel, by the ids of `disagreement`


@dataclass(frozen=True)
class LabelSet:
    """The folder of the masks, their paths by name, and their classes."""

    folder: Path
    files: dict[str, Path]
    scheme: Scheme


@dataclass(frozen=True)
class LabelComparison:
    """The N common frames of two sets, as `compare_label_sets` found them.

    `scheme` and `tables` are those of `common_scheme`. `scored` has "labels" (the second set against the first) and,
    with predictions, "model_first", "model_second" and "model_agreed" (pixels where both sets have one class; without
    scores of outlines, since nobody knows where the outline is in the others). `pixels` holds (N,) counts: of KINDS;
    with predictions, "wrong_first" (where the model is wrong against the first set), "disputed_first" (those of them
    where the sets differ), and both for the second. `equal` (N,) bool: both masks are the same in every pixel.
    `left_out` are the names that are not common, by where they are.
    """

    sets: tuple[LabelSet, LabelSet]
    scheme: Scheme
    tables: list[np.ndarray]
    notes: list[str]
    border: float
    names: list[str]
    videos: list[str]
    scored: dict[str, Scored]
    pixels: dict[str, np.ndarray]
    equal: np.ndarray
    left_out: dict[str, list[str]]

    @property
    def whole(self) -> bool:
        """Whether every frame has labels in both sets; with predictions, every predicted one."""
        places = ["predictions"] if "predictions" in self.left_out else self.left_out
        return not any(self.left_out[place] for place in places)


def read_label_set(folder: Path, class_scheme: str | None = None, *, reviewed: bool = False) -> LabelSet:
    """Find the masks of a folder, or of the prepared folder `folder`. Its classes.json beats `class_scheme`.

    Raises `UserError` if a mask is a prediction of a model, unless a person has `reviewed` all of them.
    """
    folder = folder / "masks" if (folder / "masks").is_dir() else folder
    files, beside = masks_by_name(folder), folder.resolve().parent / "classes.json"
    if not reviewed and (found := predicted_masks(files.values())):
        some = f"{len(found)} of {len(files)} masks of {folder} ({list_some(sorted(path.name for path in found), 3)})"
        raise UserError(f"{some} are predictions of a model, not labels: {WHAT_TO_DO}")
    scheme = read_scheme(beside) if beside.is_file() else load_scheme(class_scheme or "binary")
    settle_masks(folder, scheme, files.values())
    return LabelSet(folder, files, scheme)


def common_scheme(*schemes: Scheme) -> tuple[Scheme, list[np.ndarray], list[str]]:
    """Return what two schemes share, a (256,) uint8 table from the ids of each to the shared ids, and notes.

    The shared classes are the background, each instrument class that has the same name in both, and "other
    instruments"; without such a name, background and instrument. A note names the classes that are an instrument in one
    of the schemes only, though both have them.
    """
    background, instrument = SCHEMES["binary"].classes
    tools = [{plain_name(item.name): item for item in scheme.classes if item.instrument} for scheme in schemes]
    shared = [name for name in tools[0] if name in tools[1]]
    kept = [background, *(tools[0][name] for name in shared)]
    if any(len(own) > len(shared) for own in tools):
        other = replace(instrument, name="other instruments", colour=(240, 160, 0)) if shared else instrument
        kept.append(other)
    place = {name: index for index, name in enumerate(shared, 1)}
    tables, notes = [], []
    for number, scheme in enumerate(schemes):
        table = np.zeros(256, np.uint8)
        table[VOID] = VOID
        for item in tools[number].values():
            table[item.id] = place.get(plain_name(item.name), len(shared) + 1)
        tables.append(table)
        tissue = [item.name for item in scheme.classes if not item.instrument]
        if names := [name for name in tissue if plain_name(name) in tools[1 - number]]:
            notes.append(f"an instrument in the {('second', 'first')[number]} set only: {list_some(names)}")
    return Scheme("common", tuple(replace(item, id=at, codes=()) for at, item in enumerate(kept))), tables, notes


def disagreement(first: np.ndarray, second: np.ndarray, scheme: Scheme, border: float) -> np.ndarray:
    """Return (H, W) uint8, the index in KINDS of each pixel of two masks (H, W) of ids; 255 where one is void."""
    masks = [instrument_pixels(ids, scheme) for ids in (first, second)]
    kinds = (masks[0] & masks[1]).astype(np.uint8)
    for own, other, kind in ((*masks, "missing"), (*masks[::-1], "extra")):
        differs = own & ~other
        kinds[differs] = KINDS.index(kind)
        if differs.any() and other.any():
            distance = cv2.distanceTransform((~other).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            kinds[differs & (distance <= border)] = KINDS.index("border")
    kinds[(first == VOID) | (second == VOID)] = VOID
    return kinds


def compare_label_sets(
    first: LabelSet,
    second: LabelSet,
    pred_dir: Path | None = None,
    *,
    tolerances: Sequence[float],
    border: float = BORDER,
    video_pattern: str | None = None,
) -> LabelComparison:
    """Compare the masks of the same names (`under_names`); with `pred_dir`, of the frames that are predicted.

    Predictions have the classes of the first set. `video_pattern` is that of `videos_of_masks`. Raises `UserError` if
    no frame is common, if two of the folders hold the same files or are equal in every pixel, if no pixel is an
    instrument, and, with their names, for masks that differ in size or cannot be read.
    """
    files = {"first set": first.files, "second set": under_names(first.files, second.files)}
    folders = [first.folder, second.folder, pred_dir][: 2 + (pred_dir is not None)]
    if pred_dir is not None:
        files["predictions"] = under_names(first.files, images_by_name(pred_dir))
        settle_masks(pred_dir, first.scheme, predictions=True)
    names = sorted(set.intersection(*map(set, files.values())), key=natural_key)
    if not names:
        shown = (f"{folder} ({list_some(own, 2) or 'no images'})" for folder, own in zip(folders, files.values()))
        raise UserError(f"no frame has a mask in each of {', '.join(shown)}: the same names are needed")
    for one, other in combinations(files.values(), 2):
        if same := [name for name in names if one[name].samefile(other[name])]:
            raise UserError(f"{other[same[0]]} is the same file as {one[same[0]]}: give folders of different masks")
    of_name = dict(zip(first.files, videos_of_masks(first.folder, list(first.files), video_pattern)))
    videos = [of_name[name] for name in names]
    scheme, tables, notes = common_scheme(first.scheme, second.scheme)
    kinds = [(first, tables[0]), (second, tables[1]), (first, tables[0])]  # of labels, labels, predictions

    def compare(name: str):
        paths = [own[name] for own in files.values()]
        try:
            masks = [read_mask(path, own.scheme.num_classes) for path, (own, _) in zip(paths, kinds)]
            for path, mask in zip(paths, masks):
                if mask.shape != masks[0].shape:
                    sizes = "{1}x{0}, {path} {3}x{2}".format(*mask.shape, *masks[0].shape, path=paths[0])
                    raise UserError(f"{path} is {sizes}: masks of the frame's own size are needed")
            if (masks[-1] == VOID).any() and pred_dir is not None:
                raise UserError(f"{paths[-1]}: a prediction cannot hold void (255)")
        except UserError as error:
            return str(error)
        return _compare_frame(
            [cv2.LUT(mask, table) for mask, (_, table) in zip(masks, kinds)], scheme, tolerances, border
        )

    with ThreadPoolExecutor(cpu_count()) as pool:
        found = list(tqdm(ahead(pool, compare, names, 64), "Comparing", len(names), unit="frame", disable=quiet()))
    if errors := [item for item in found if isinstance(item, str)]:
        more = f"; and {len(errors) - 5} more" * (len(errors) > 5)
        raise UserError(f"{len(errors)} of {len(names)} frames cannot be compared: {'; '.join(errors[:5])}{more}")
    scores, pixels, equal, thumbs = zip(*found)
    shown = {kind: any(one[kind] for one in pixels) for kind in KINDS[1:]}
    if not any(shown.values()):
        raise UserError(
            f"no pixel that both {first.folder} and {second.folder} label is an instrument in one of them: look at "
            "their codes (255 is no label in masks with a palette), or give other classes"
        )
    for (one, other), same in zip(combinations(folders, 2), zip(*equal)):
        if all(same):
            raise UserError(
                f"{one} and {other} are equal in every pixel of all {len(names)} frames, so one is a copy of the "
                "other: give masks that were made independently"
            )
    for which, alone in (("first", "missing"), ("second", "extra")):
        if not (shown["both"] or shown["border"] or shown[alone]):
            notes.append(f"the {which} set shows no instrument in any frame: are its codes or classes right?")
    notes += _shift_notes(np.array(videos), np.array(thumbs))
    return LabelComparison(
        (first, second), scheme, tables, notes, border, names, videos,
        {pair: Scored.of(names, videos, [one[pair] for one in scores], "ignore") for pair in scores[0]},
        {key: np.array([one[key] for one in pixels]) for key in pixels[0]},
        np.array(equal)[:, 0],
        {place: sorted(own.keys() - set(names), key=natural_key) for place, own in files.items()},
    )  # fmt: skip


def _compare_frame(masks: list[np.ndarray], scheme: Scheme, tolerances: Sequence[float], border: float) -> tuple:
    """Return the scores of each pair, the pixels of each kind, whether the masks of each pair are equal in every pixel,
    and both label masks as (2, THUMB, THUMB) bool."""
    first, second, *predicted = masks
    kinds, void = disagreement(first, second, scheme, border), np.uint8(VOID)
    known = kinds != VOID
    truths = {"first": np.where(known, first, void), "second": np.where(known, second, void)}
    compared = np.where(second == VOID, np.uint8(0), second)  # these pixels are void in the truth
    scores = {"labels": score_frame(compared, truths["first"], scheme, "ignore", tolerances)}
    pixels = {kind: int(np.count_nonzero(kinds == index)) for index, kind in enumerate(KINDS)}
    for model in predicted:
        for name, truth in truths.items():
            scores[f"model_{name}"] = score_frame(model, truth, scheme, "ignore", tolerances)
            wrong = (instrument_pixels(model, scheme) != instrument_pixels(truth, scheme)) & known
            pixels[f"wrong_{name}"] = int(np.count_nonzero(wrong))
            pixels[f"disputed_{name}"] = int(np.count_nonzero(kinds[wrong] > KINDS.index("both")))
        scores["model_agreed"] = score_frame(model, np.where(first == second, first, void), scheme, "ignore")
    equal = [np.array_equal(one, other) for one, other in combinations(masks, 2)]
    small = [cv2.resize(mask, (THUMB, THUMB), interpolation=cv2.INTER_NEAREST) for mask in (first, second)]
    return scores, pixels, equal, np.stack([instrument_pixels(mask, scheme) for mask in small])


def _shift_notes(videos: np.ndarray, thumbs: np.ndarray) -> list[str]:
    """A note if the second set fits the frames before, or those after, better than its own.

    `videos` (N,) of the frames in order, `thumbs` (N, 2, THUMB, THUMB) bool. Where the frames of a video are far apart,
    only a shift finds such a fit; where nothing moves between them, there is no clear difference, and no note.
    """
    first, second = thumbs[:, 0], thumbs[:, 1]
    inside, own = videos[1:] == videos[:-1], _iou(first, second)
    found = []
    for word, one, other in (("after", first[1:], second[:-1]), ("before", first[:-1], second[1:])):
        if (fit := _iou(one[inside], other[inside])) > max(own + 0.02, 0.5):
            found.append(
                f"the second set fits the frame {word} each frame better than the frame itself (IoU {fit:.2f} and "
                f"{own:.2f}, reduced to {THUMB}x{THUMB}): its names seem to be shifted by one frame"
            )
    return found


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    return np.count_nonzero(one & other) / max(np.count_nonzero(one | other), 1)
