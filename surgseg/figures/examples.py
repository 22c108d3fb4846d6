"""Example panels: frames chosen by a rule, with ground truth, prediction and errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.patches import Patch

from surgseg.figures.selection import EXAMPLE_RULES, Choice, choose_examples, example_records
from surgseg.figures.style import add_title, fit_names, new_figure, save_figure, show_image
from surgseg.files import UserError, write_json
from surgseg.frames import read_frame
from surgseg.labels import VOID, Scheme
from surgseg.masks import read_mask
from surgseg.overlay import Painter
from surgseg.scores.scored import scored_title

SCHEMA = "surgseg.examples/1"
ERRORS = {"correct": (0, 114, 178), "false positive": (230, 159, 0), "missed": (213, 94, 0), "void": (200, 200, 200)}


@dataclass(frozen=True)
class Example:
    """A frame (H, W, 3) with true and predicted class ids (H, W), the IoU of its instruments (NaN: undefined) and its
    true coverage (0-1)."""

    name: str
    frame: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    iou: float
    coverage: float = float("nan")


@dataclass(frozen=True)
class ImageFiles:
    """The paths of frames, true masks and predictions, each by the frame's name."""

    frames: Mapping[str, Path]
    masks: Mapping[str, Path]
    predictions: Mapping[str, Path]

    @classmethod
    def of_samples(cls, samples: Sequence, pred_dir: Path) -> ImageFiles:
        """The files of samples (`data.dataset.Sample`) whose predictions are in `pred_dir`."""
        frames = {sample.name: sample.frame for sample in samples}
        masks = {sample.name: sample.mask for sample in samples}
        return cls(frames, masks, {name: pred_dir / f"{name}.png" for name in frames})

    @property
    def names(self) -> set[str]:
        """The names that have a frame, a mask and a prediction."""
        return set(self.frames) & set(self.masks) & set(self.predictions)


def write_examples(
    rule: str,
    rows: Sequence[dict[str, str]],
    files: ImageFiles,
    scheme: Scheme,
    folder: Path,
    *,
    scored: dict[str, Any],
    count: int = 5,
    data: str = "real",
    mark: str = "",
) -> list[Path]:
    """Choose frames of a scored set by one of `EXAMPLE_RULES`, draw them, and list them in a JSON of the same name.

    `rows` is the frame table beside a metrics JSON, `scored` that JSON's entry. Returns the files written; none if no
    frame fits the rule.
    Raises `UserError` where a file is damaged or frame and masks differ in size.
    """
    available = files.names
    choice = choose_examples([row for row in rows if row["name"] in available], rule, count)
    if not choice.rows:
        return []
    path = Path(folder) / f"{EXAMPLE_RULES[rule].figure}.png"
    title = f"{choice.words}\n{scored_title(scored, 'IoU per frame')}"
    draw_examples(read_examples(choice, files, scheme), scheme, path, title=title, mark=mark)
    listing = {
        "schema": SCHEMA,
        "figure": path.name,
        "rule": rule,
        "words": choice.words.replace("\n", " "),
        "candidates": choice.candidates,
        "max_per_video": choice.per_video,
        "min_distance_frames": choice.distance,
        "data": data,
        "scored": scored,
        "frames": example_records(choice),
    }
    write_json(path.with_suffix(".json"), listing)
    return [path, path.with_suffix(".json")]


def read_examples(choice: Choice, files: ImageFiles, scheme: Scheme) -> list[Example]:
    """Read the chosen frames and their masks. Raises `UserError` naming both files where their sizes differ."""
    examples = []
    for row in choice.rows:
        name = row["name"]
        frame, masks = read_frame(files.frames[name]), []
        for path in (files.masks[name], files.predictions[name]):
            masks.append(read_mask(path, scheme.num_classes))
            check_size(frame, files.frames[name], masks[-1], path)
        iou, coverage = (float(row.get(key) or "nan") for key in ("iou", "coverage"))
        examples.append(Example(name, frame, *masks, iou, coverage))
    return examples


def check_size(frame: np.ndarray, frame_path: Path, mask: np.ndarray, mask_path: Path) -> None:
    """Raise `UserError`, naming both files, where a mask (H, W) and its frame (H, W, 3) differ in size."""
    if frame.shape[:2] != mask.shape:
        sizes = [f"{shape[1]}x{shape[0]}" for shape in (frame.shape, mask.shape)]
        raise UserError(f"{frame_path} is {sizes[0]} pixels, {mask_path} {sizes[1]}: both must have the same size")


def draw_examples(examples: list[Example], scheme: Scheme, path: Path, *, title: str, mark: str = "") -> Path:
    """Draw a row per example: frame, ground truth, prediction, error map of the instrument union.

    `mark` (SYNTHETIC) is written in the figure and inside every image.
    """
    heights = [example.frame.shape[0] / example.frame.shape[1] for example in examples]
    size = (7.2, 0.75 + 0.14 * title.count("\n") + sum(1.78 * ratio + 0.36 for ratio in heights))
    figure, axes = new_figure(len(examples), 4, size=size, gridspec_kw={"height_ratios": heights})
    paint = Painter(scheme)
    names = fit_names((example.name for example in examples), 26, 2)
    for row, name, example in zip(axes, names, examples):
        covered = "" if np.isnan(example.coverage) else f"\n{example.coverage:.1%} instrument"
        undefined = "n/a: all void" if (example.truth == VOID).all() else "n/a: no instrument"
        score = undefined if np.isnan(example.iou) else f"IoU {example.iou:.3f}"
        show_image(row[0], example.frame, name, mark=mark)
        show_image(row[1], paint(example.frame, example.truth), f"ground truth{covered}", mark=mark)
        show_image(row[2], paint(example.frame, example.predicted), f"prediction\n{score}", mark=mark)
        show_image(row[3], error_map(example, scheme), "errors", mark=mark)
        for axis in row:
            axis.title.set_fontsize(7.5)
    handles = [colour_patch(colour, name) for name, colour in ERRORS.items()]
    figure.legend(handles=handles, loc="outside lower right", ncols=4, fontsize=8)
    add_title(figure, title, mark, fontsize=9)
    return save_figure(figure, path)


def colour_patch(colour: tuple[int, int, int], name: str) -> Patch:
    """The legend entry of an RGB colour (0-255)."""
    return Patch(facecolor=np.array(colour) / 255, edgecolor="black", linewidth=0.5, label=name)


def error_map(example: Example, scheme: Scheme) -> np.ndarray:
    """The dimmed frame (H, W, 3) uint8, coloured by hits, false positives, misses and void of the instrument union."""
    truth, predicted = (np.isin(ids, scheme.instrument_ids) for ids in (example.truth, example.predicted))
    void = example.truth == VOID
    image = (example.frame * 0.35 + 150).astype(np.uint8)
    image[truth & predicted] = ERRORS["correct"]
    image[~truth & predicted & ~void] = ERRORS["false positive"]
    image[truth & ~predicted] = ERRORS["missed"]
    image[void] = ERRORS["void"]
    return image
