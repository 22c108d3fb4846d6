"""Example panels: frames chosen by a rule, with ground truth, prediction and errors."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.patches import Patch

from surgseg.figures.selection import EXAMPLE_RULES, Choice, choose_examples, example_records
from surgseg.figures.style import mark_synthetic, new_figure, save_figure, show_image
from surgseg.files import UserError, write_json
from surgseg.frames import read_frame
from surgseg.labels import VOID, Scheme
from surgseg.masks import read_mask
from surgseg.overlay import Painter

SCHEMA = "surgseg.examples/1"
ERRORS = {"correct": (0, 114, 178), "false positive": (230, 159, 0), "missed": (213, 94, 0), "void": (200, 200, 200)}


@dataclass(frozen=True)
class Example:
    """One frame (H, W, 3) with true and predicted class ids (H, W), the IoU of its instruments (NaN: none), and its
    true coverage (0-1)."""

    name: str
    frame: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    iou: float
    coverage: float = float("nan")


@dataclass(frozen=True)
class ImageFiles:
    """Where frames, true masks and predictions lie: path by name, of each."""

    frames: Mapping[str, Path]
    masks: Mapping[str, Path]
    predictions: Mapping[str, Path]

    @classmethod
    def of_samples(cls, samples: Sequence, pred_dir: Path) -> ImageFiles:
        """The files of samples (`data.dataset.Sample`) whose predictions lie in `pred_dir`."""
        frames, masks = ({item.name: getattr(item, part) for item in samples} for part in ("frame", "mask"))
        return cls(frames, masks, {name: pred_dir / f"{name}.png" for name in frames})

    @property
    def names(self) -> set[str]:
        """Names of which all three are there."""
        return set(self.frames) & set(self.masks) & set(self.predictions)


def write_examples(
    rule: str,
    rows: Sequence[dict[str, str]],
    files: ImageFiles,
    scheme: Scheme,
    folder: Path,
    *,
    count: int = 5,
    data: str = "real",
    mark: str = "",
) -> list[Path]:
    """Choose frames of a scored set by one of `EXAMPLE_RULES`, draw them, and list them in a JSON of the same name.

    `rows` is the frame table beside a metrics JSON. Returns the files written: none where no frame can be chosen.
    Raises `UserError` where a file is damaged or frame and masks differ in size.
    """
    available = files.names
    choice = choose_examples([row for row in rows if row["name"] in available], rule, count)
    if not choice.rows:
        return []
    path = Path(folder) / f"{EXAMPLE_RULES[rule].figure}.png"
    draw_examples(read_examples(choice, files, scheme), scheme, path, title=choice.words, mark=mark)
    listing = {
        "schema": SCHEMA,
        "figure": path.name,
        "rule": rule,
        "words": choice.words.replace("\n", " "),
        "candidates": choice.candidates,
        "max_per_video": choice.per_video,
        "min_distance_frames": choice.distance,
        "data": data,
        "frames": example_records(choice),
    }
    write_json(path.with_suffix(".json"), listing)
    return [path, path.with_suffix(".json")]


def read_examples(choice: Choice, files: ImageFiles, scheme: Scheme) -> list[Example]:
    """The chosen frames with their masks. Raises `UserError` where sizes differ, naming both."""
    examples = []
    for row in choice.rows:
        name = row["name"]
        frame = read_frame(files.frames[name])
        masks = [read_mask(folder[name], scheme.num_classes) for folder in (files.masks, files.predictions)]
        for mask, path in zip(masks, (files.masks[name], files.predictions[name])):
            check_size(frame, files.frames[name], mask, path)
        iou, coverage = (float(row.get(key) or "nan") for key in ("iou", "coverage"))
        examples.append(Example(name, frame, *masks, iou, coverage))
    return examples


def check_size(frame: np.ndarray, frame_path: Path, mask: np.ndarray, mask_path: Path) -> None:
    """`UserError` naming both files where a mask (H, W) has another size than its frame (H, W, 3)."""
    if frame.shape[:2] != mask.shape:
        sizes = [f"{shape[1]}x{shape[0]}" for shape in (frame.shape, mask.shape)]
        raise UserError(f"{frame_path} is {sizes[0]} pixels, {mask_path} {sizes[1]}: a mask has its frame's size")


def draw_examples(examples: list[Example], scheme: Scheme, path: Path, *, title: str, mark: str = "") -> Path:
    """A row per example: frame, ground truth, prediction, error map of the instrument union.

    `mark` (SYNTHETIC) stands in the figure and inside every image.
    """
    shapes = [example.frame.shape for example in examples]
    heights = [height / width for height, width, _ in shapes]
    size = (7.2, 0.75 + sum(1.78 * ratio + 0.36 for ratio in heights))
    figure, axes = new_figure(len(examples), 4, size=size, gridspec_kw={"height_ratios": heights})
    paint = Painter(scheme)
    for row, example in zip(axes, examples):
        covered = "" if np.isnan(example.coverage) else f"\n{example.coverage:.1%} instrument"
        score = "no instrument" if np.isnan(example.iou) else f"IoU {example.iou:.3f}"
        show_image(row[0], example.frame, fit_name(example.name), mark=mark)
        show_image(row[1], paint(example.frame, example.truth), f"ground truth{covered}", mark=mark)
        show_image(row[2], paint(example.frame, example.predicted), f"prediction\n{score}", mark=mark)
        show_image(row[3], error_map(example, scheme), "errors", mark=mark)
        for axis in row:
            axis.title.set_fontsize(7.5)
    handles = [colour_patch(colour, name) for name, colour in ERRORS.items()]
    figure.legend(handles=handles, loc="outside lower right", ncols=4, fontsize=8)
    figure.suptitle(title, fontsize=9, x=0.01, ha="left")
    if mark:
        mark_synthetic(figure, mark)
    return save_figure(figure, path)


def fit_name(name: str, width: int = 26, lines: int = 2) -> str:
    """A file's name broken into lines of `width` letters; the middle of a longer one is left out."""
    room = width * lines
    if len(name) > room:
        name = f"{name[: room // 2 - 1]}…{name[-(room - room // 2) :]}"
    return "\n".join(textwrap.wrap(name, width, break_long_words=True, break_on_hyphens=False)) or name


def colour_patch(colour: tuple[int, int, int], name: str) -> Patch:
    """A legend's entry for an RGB colour (0-255)."""
    return Patch(facecolor=np.array(colour) / 255, edgecolor="black", linewidth=0.5, label=name)


def error_map(example: Example, scheme: Scheme) -> np.ndarray:
    """(H, W, 3) uint8: dimmed frame with hits, false positives, misses and void of the instrument union."""
    instrument_ids = scheme.instrument_ids
    truth, predicted = np.isin(example.truth, instrument_ids), np.isin(example.predicted, instrument_ids)
    void = example.truth == VOID
    image = (example.frame * 0.35 + 150).astype(np.uint8)
    image[truth & predicted] = ERRORS["correct"]
    image[~truth & predicted & ~void] = ERRORS["false positive"]
    image[truth & ~predicted] = ERRORS["missed"]
    image[void] = ERRORS["void"]
    return image
