"""The frames in which two sets of labels differ most, and those whose labels models contradict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from surgseg.data.dataset import FRAME_FOLDERS, Prepared, read_sample
from surgseg.data.sources import data_kind
from surgseg.evaluation.label_report import labels_block, write_labels
from surgseg.evaluation.label_sets import KINDS, LabelComparison, disagreement
from surgseg.figures.examples import check_size, colour_patch
from surgseg.figures.selection import choose_examples, synthetic_mark
from surgseg.figures.style import add_title, fit_names, new_figure, save_figure, show_image
from surgseg.frames import images_by_name, read_frame, under_names
from surgseg.labels import VOID
from surgseg.masks import read_mask
from surgseg.overlay import Painter
from surgseg.study.label_audit import FIRST, AuditedLabel

_COLOURS = {
    "both": (0, 114, 178),
    "border": (240, 228, 66),
    "missing": (213, 94, 0),
    "extra": (204, 121, 167),
    "void": (200, 200, 200),
}


def report_labels(found: LabelComparison, folder: Path, examples: int, run: dict) -> tuple[str, list[Path]]:
    """Write JSON, table and picture into `folder`. Returns the text for the screen, and the files written."""
    pictures = draw_worst(found, folder / "label_comparison.png", examples)
    summary, written = write_labels(found, folder, run)
    return labels_block(summary), [*written, *pictures]


def draw_worst(found: LabelComparison, path: Path, count: int) -> list[Path]:
    """Draw the `count` frames with the lowest IoU of both sets: each set over the frame, and where they differ.

    The frames are looked for beside the masks; without them, the masks are drawn on black. Returns [path], or [] if
    there is no such frame. Raises `UserError` if a frame is damaged or has another size.
    """
    iou = found.scored["labels"].frames["iou"]
    order = np.argsort(-sum(found.pixels[kind] for kind in KINDS[2:]), kind="stable")  # of frames with equal IoU
    rows = [
        {"name": found.names[at], "video": found.videos[at], "iou": f"{iou[at]:.6f}", "coverage": "1"}
        for at in order
        if not np.isnan(iou[at])
    ]
    choice = choose_examples(rows, "challenging", count)
    if not choice.rows:
        return []
    names = found.sets[0].files
    parents = [one.folder.resolve().parent for one in found.sets]
    folder = next((place for parent in parents for name in FRAME_FOLDERS if (place := parent / name).is_dir()), None)
    frames = under_names(names, images_by_name(folder)) if folder else {}
    files = [under_names(names, one.files) for one in found.sets]
    figure, axes = new_figure(len(choice.rows), 3, size=(7.2, 0.9 + 2 * len(choice.rows)))
    paint, mark = Painter(found.scheme), synthetic_mark(data_kind(parents[0]))
    labels = fit_names((row["name"] for row in choice.rows), 34)
    for axis, label, row in zip(axes, labels, choice.rows):
        name = row["name"]
        paths = [own[name] for own in files]
        ids = [read_mask(mask, one.scheme.num_classes) for mask, one in zip(paths, found.sets)]
        ids = [table[mask] for table, mask in zip(found.tables, ids)]
        frame = read_frame(frames[name]) if name in frames else np.zeros((*ids[0].shape, 3), np.uint8)
        check_size(frame, frames.get(name), ids[0], paths[0])
        kinds, picture = disagreement(*ids, found.scheme, found.border), (frame * 0.35 + 150).astype(np.uint8)
        for kind, colour in _COLOURS.items():
            picture[kinds == (VOID if kind == "void" else KINDS.index(kind))] = colour
        pictures = (paint(frame, ids[0]), paint(frame, ids[1]), picture)
        for one, image, words in zip(axis, pictures, (f"first: {label}", "second", f"IoU {float(row['iou']):.3f}")):
            show_image(one, image, words, mark=mark)
            one.title.set_fontsize(7.5)
    handles = [colour_patch(colour, name) for name, colour in _COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower right", ncols=5, fontsize=8)
    where = f"missing, extra: in the second set, more than {found.border:g} pixels from the other's instrument"
    add_title(figure, f"Two sets of labels: {choice.words}\n{where}", mark, fontsize=9)
    return [save_figure(figure, path)]


def draw_suspects(
    ranked: Sequence[AuditedLabel], probabilities: Mapping[str, np.ndarray], prepared: Prepared, path: Path
) -> list[Path]:
    """Draw the `FIRST` frames of `audit_labels`: the frame, its label, and the instrument probability of the model.

    Returns [path], or [] if no pixel of any frame is in disagreement.
    """
    rows = [row for row in ranked[:FIRST] if row.score > 0]
    if not rows:
        return []
    samples = {sample.name: sample for sample in prepared.samples}
    figure, axes = new_figure(len(rows), 3, size=(7.2, 0.6 + 1.5 * len(rows)))
    paint, mark = Painter(prepared.scheme), synthetic_mark(prepared.data)
    for axis, label, row in zip(axes, fit_names((row.name for row in rows), 34), rows):
        frame, ids = read_sample(samples[row.name], prepared.scheme.num_classes)
        words = f"{100 * row.score:.2f} % of the pixels disagree"
        for one, image, title in zip(axis, (frame, paint(frame, ids)), (label, "its label")):
            show_image(one, image, title, mark=mark)
        show_image(axis[2], probabilities[row.name], words, mark=mark, cmap="viridis", vmin=0, vmax=255)
        for one in axis:
            one.title.set_fontsize(7.5)
    add_title(figure, "Labels that a model surely contradicts\nright: its instrument probability", mark, fontsize=9)
    return [save_figure(figure, path)]
