"""Every figure of a scored set, from the files that scoring wrote: metrics JSON, frame table, masks, audit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from surgseg.data.dataset import FRAME_FOLDERS, frame_folder_beside
from surgseg.figures.calibration import draw_calibration
from surgseg.figures.dataset import draw_complete, draw_full_dataset, has_tables
from surgseg.figures.examples import ImageFiles, write_examples
from surgseg.figures.scores import draw_comprehensive
from surgseg.figures.selection import EXAMPLE_RULES, synthetic_mark
from surgseg.figures.strata import draw_strata
from surgseg.files import UserError, read_csv, read_json
from surgseg.frames import images_by_name, under_names
from surgseg.labels import Scheme
from surgseg.scores.scored import scored_title

EXAMPLES = ("best", "challenging", "impressive")


def write_figures(
    metrics_path: Path,
    scheme: Scheme,
    mask_dir: Path,
    pred_dir: Path | None,
    folder: Path,
    *,
    examples: int = 5,
    files: ImageFiles | None = None,
) -> tuple[list[Path], list[str], bool]:
    """Draw into `folder` every figure whose input files exist.

    `metrics_path` is a metrics JSON with its frame table beside it. `mask_dir` holds the true masks; audit.json and the
    frames are looked for beside it, unless `files` names them. `pred_dir` holds the predictions; None: none were saved.
    Returns the files written,
    a line for each figure left out, and False where an image is damaged or has another size, else True.
    """
    metrics = read_json(metrics_path)
    rows = read_csv(metrics_path.with_name(f"{metrics_path.stem}_frames.csv"))
    title = f"{metrics['data'].capitalize()} data\n{scored_title(metrics['scored'])}"
    written = [
        draw_comprehensive(metrics, rows, folder / "comprehensive_analysis.png", title=title),
        draw_full_dataset(metrics, rows, folder / "full_dataset_analysis.png", title=f"Scores per video\n{title}"),
    ]
    if any(metrics["strata"].values()):
        what = f"Dice of groups of frames, {metrics['data']} data\n{scored_title(metrics['scored'], 'per frame')}"
        written.append(draw_strata(metrics, folder / "strata.png", title=what))
    if metrics.get("calibration", {}).get("pixels"):
        written.append(draw_calibration(metrics, folder / "calibration.png", title=title))
    audit_path, notes = mask_dir.resolve().parent / "audit.json", []
    audit = read_json(audit_path) if audit_path.is_file() else None
    if has_tables(audit):
        path = folder / "full_dataset_complete_analysis.png"
        written.append(draw_complete(metrics, audit, path, title=f"Audit of the data beside the scores\n{title}"))
    else:
        why = "holds no tables" if audit_path.is_file() else "does not exist"
        notes.append(f"No full_dataset_complete_analysis.png: {audit_path} {why}; a preparation writes it")
    found, lines, whole = _examples(metrics, rows, scheme, mask_dir, pred_dir, folder, examples, files)
    return written + found, notes + lines, whole


def _examples(metrics: dict[str, Any], rows, scheme, mask_dir: Path, pred_dir, folder, count: int, files):
    """Draw the example figures; returns the same as `write_figures`."""
    if not count:
        return [], [], True
    if pred_dir is None:
        return [], ["No example figures: predictions are drawn from files; --save-preds DIR writes them"], True
    frame_dir = frame_folder_beside(mask_dir)
    if frame_dir is None and files is None:
        return [], [f"No example figures: neither {' nor '.join(FRAME_FOLDERS)} beside {mask_dir}"], True
    if files is None:
        masks = images_by_name(mask_dir)
        files = ImageFiles(*(under_names(masks, images_by_name(each)) for each in (frame_dir, mask_dir, pred_dir)))
    mark = synthetic_mark(metrics["data"], metrics.get("weights_data"))
    written, notes = [], []
    missing = sum(row["name"] not in files.frames for row in rows)
    if missing:
        notes.append(
            f"{missing} of {len(rows)} scored frames are not in {frame_dir}: the examples are chosen from the others"
        )
    for rule in EXAMPLES:
        try:
            said = {"scored": metrics["scored"], "data": metrics["data"], "mark": mark}
            found = write_examples(rule, rows, files, scheme, folder, count=count, **said)
        except UserError as error:
            return written, [*notes, f"Example figures are incomplete: {error}"], False
        if not found:
            notes.append(f"No {EXAMPLE_RULES[rule].figure}.png: no scored frame shows an instrument")
        written += found
    return written, notes, True
