"""What is known of scored frames beside their masks, by which `surgseg.scores.strata` groups their scores."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from surgseg.appearance import brightness_and_sharpness
from surgseg.cholec80 import NO_PHASE, RATE, phases_at, read_phases
from surgseg.console import quiet
from surgseg.data.dataset import (
    FRAME_FOLDERS,
    Sample,
    frame_folder_beside,
    is_numbered,
    number_of,
    read_sample,
    videos_of_masks,
)
from surgseg.data.manifest import JOURNAL, read_journal
from surgseg.data.views import sample_views
from surgseg.files import UserError, list_some, natural_key, nfc
from surgseg.frames import images_by_name, under_names
from surgseg.labels import Scheme
from surgseg.reviews import masks_by_name
from surgseg.scores.metrics import instrument_pixels
from surgseg.scores.strata import name_classes
from surgseg.threads import ahead, cpu_count
from surgseg.view import View, border_distance

MEASURED = ("brightness", "sharpness", "border_distance")
OF_FRAMES = "brightness, sharpness and distance to the border"
Measure = Callable[[Sample, np.ndarray, np.ndarray], "dict[str, float]"]


def measure_with(views: Callable[[Sample, np.ndarray], View], scheme: Scheme) -> Measure:
    """Return a function that gives the traits `MEASURED` of a sample, its frame (H, W, 3) and its true ids (H, W).

    `views` is a function that `sample_views` returns.
    """

    def measure(sample: Sample, frame: np.ndarray, truth: np.ndarray) -> dict[str, float]:
        distances = border_distance(views(sample, frame))[instrument_pixels(truth, scheme)]
        median = float(np.median(distances)) if len(distances) else math.nan
        return dict(zip(MEASURED, (*brightness_and_sharpness(frame), median)))

    return measure


def columns_of(traits: Sequence[dict[str, float]]) -> dict[str, np.ndarray]:
    """The (N,) floats of each trait from those of N frames, which all have the same."""
    return {name: np.array([one[name] for one in traits]) for name in traits[0]}


def samples_beside(mask_dir: Path, video_pattern: str | None = None) -> dict[str, Sample]:
    """Return a sample for each mask in a folder, by its name. Its frame is in the folder of frames beside, or absent.
    `video_pattern` is that of `videos_of_masks`."""
    masks, folder = masks_by_name(mask_dir), frame_folder_beside(mask_dir)
    frames = under_names(masks, images_by_name(folder)) if folder else {}
    videos = videos_of_masks(mask_dir, list(masks), video_pattern)
    absent = folder or mask_dir.resolve().parent / FRAME_FOLDERS[0]
    return {
        name: Sample(name, frames.get(name, absent / name), mask, video)
        for (name, mask), video in zip(masks.items(), videos)
    }


def measure_files(
    samples: Sequence[Sample], of_videos: Sequence[Sample], scheme: Scheme
) -> tuple[dict[str, np.ndarray], str]:
    """Read the frames and masks of `samples`. Return the (N,) traits `MEASURED`, NaN where a frame cannot be read, and
    why frames are not known, or "". The field of view is found in `of_videos`."""
    if not any(sample.frame.is_file() for sample in samples):
        return {}, "no frames beside the masks"
    videos = {sample.video for sample in samples}
    views = sample_views([sample for sample in of_videos if sample.video in videos], "auto", silent=True)
    measure, nothing = measure_with(views, scheme), dict.fromkeys(MEASURED, math.nan)

    def load(sample: Sample) -> dict[str, float]:
        try:
            return measure(sample, *read_sample(sample, scheme.num_classes))
        except UserError:
            return nothing

    with ThreadPoolExecutor(cpu_count()) as pool:
        jobs = ahead(pool, load, samples, 64)
        found = list(tqdm(jobs, "Measuring frames", len(samples), unit="frame", disable=quiet()))
    missing = [sample.name for sample, one in zip(samples, found) if one is nothing]
    told = f"{len(missing)} of {len(samples)} frames, which cannot be read ({list_some(missing, 3)})"
    return columns_of(found), told if missing else ""


def named_traits(
    samples: Sequence[Sample], root: Path, scheme: Scheme, phase_dir: Path | None = None
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the traits `source_class` and `phase` of N samples, (N,) names, and why one is not known.

    Masks of several instrument classes tell the class themselves. Otherwise the journal of the preparation in `root`
    tells which source codes of the instrument, those of its `scheme`, a frame had. Raises `UserError` as `phases_of`.
    """
    records, found, unknown = read_journal(root), {}, {}
    if len(scheme.instrument_ids) == 1:
        shown = source_classes([records.get(sample.name, {}) for sample in samples], scheme)
        if any(shown):
            found["source_class"] = name_classes(shown)
        else:
            why = f"the masks have one class, and no {JOURNAL} of a preparation beside them tells the source codes"
            unknown["class of the instrument"] = why
    if phase_dir is None:
        unknown["phase"] = "no --phase-dir (analyze_model.py)"
    else:
        by_order = {name for name, record in records.items() if record.get("numbered_by_order")}
        found["phase"] = phases_of(samples, phase_dir, by_order)
    return found, unknown


def source_classes(records: Sequence[dict], scheme: Scheme) -> list[list[str]]:
    """Return the names of the instrument codes in each record of a preparation; [] where it has none, or the scheme
    has only one."""
    codes = sorted(code for item in scheme.classes if item.instrument for code in item.codes)
    names = scheme.code_names
    counts = Counter(names[code] for code in codes)
    names = {code: names[code] if counts[names[code]] == 1 else f"code {code}" for code in codes}
    if len(codes) < 2:
        return [[] for _ in records]
    return [[names[code] for code in codes if record.get("codes", {}).get(str(code))] for record in records]


def phases_of(samples: Sequence[Sample], folder: Path, by_order: set[str]) -> np.ndarray:
    """Return the phase of each sample, (N,) names, from Cholec80's phase files `<video>-phase.txt` or `<video>.txt`.

    The number that ends a sample's name is that of its frame in the film, at 25 frames a second. Raises `UserError` for
    a video without a file, for a frame without a number or that its file does not list, and for the frames `by_order`,
    whose numbers the preparation gave.
    """
    if not folder.is_dir():
        raise UserError(f"--phase-dir {folder} is not a folder")
    files = {nfc(path.stem).lower().removesuffix("-phase"): path for path in sorted(folder.glob("*.txt"), reverse=True)}
    videos = sorted({sample.video for sample in samples}, key=natural_key)
    if missing := [video for video in videos if video.lower() not in files]:
        raise UserError(
            f"--phase-dir {folder} has no file of {list_some(missing)}: {missing[0]}-phase.txt or {missing[0]}.txt"
        )
    if numbered := [sample.name for sample in samples if sample.name in by_order]:
        raise UserError(
            f"--phase-dir: the numbers of {list_some(numbered, 4)} are their order, not frames of the film "
            f"({len(numbered)} of {len(samples)} frames)"
        )
    if bare := [sample.name for sample in samples if not is_numbered(sample.name)]:
        raise UserError(f"--phase-dir: no number of a frame of the film ends the name of {list_some(bare, 4)}")
    tracks = {video: read_phases(files[video.lower()]) for video in videos}
    found = [phases_at(tracks[sample.video], [number_of(sample.name) / RATE])[0] for sample in samples]
    if absent := [sample for sample, phase in zip(samples, found) if phase == NO_PHASE]:
        raise UserError(
            f"{tracks[absent[0].video].path} does not list frame {number_of(absent[0].name)}, of {absent[0].name} "
            f"({len(absent)} of {len(samples)} frames have no phase): is it of this video, at {RATE:g} frames a second?"
        )
    return np.array(found, object)
