"""Read prepared data: frames, masks, videos, class scheme."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from surgseg.data.pairs import FRAME_SUFFIXES, MASK_SUFFIXES, video_and_clip
from surgseg.data.sources import archives_beside, data_kind
from surgseg.data.videos import check_folders, check_guesses, compile_pattern, video_by_pattern
from surgseg.files import UserError, list_some, natural_key, nfc, read_csv
from surgseg.frames import check_same_size, images_by_name, read_upright, under_names
from surgseg.labels import Scheme, load_scheme, read_scheme
from surgseg.mask_folders import settle_masks
from surgseg.masks import read_mask
from surgseg.predicted import predicted_masks
from surgseg.reviews import check_no_review

MANIFEST_FIELDS = ("name", "video", "clip", "frame", "width", "height", "instrument_fraction", "void_fraction", "split")

FRAME_FOLDERS = ("sample_frames", "frames")
ROLES = ("", "reviewed", "audit", "pseudo", "mixed")


@dataclass(frozen=True)
class Sample:
    """One labelled frame. `part` is the manifest's split column; it may be "". `predicted`: a model made its mask.

    `role` is one of ROLES: "" in a prepared folder; in a reviewed one a frame that a person reviewed, one of the audit,
    or one with a pseudo-label; or a frame of the data that are mixed in.
    """

    name: str
    frame: Path
    mask: Path
    video: str
    number: int = 0
    part: str = ""
    instrument_fraction: float = 1.0
    predicted: bool = False
    role: str = ""


@dataclass(frozen=True)
class Prepared:
    """Labelled frames in natural order, the scheme of their masks, and whether they are "real" or "synthetic"."""

    root: Path
    samples: list[Sample]
    scheme: Scheme
    data: str

    @property
    def videos(self) -> list[str]:
        return sorted({sample.video for sample in self.samples}, key=natural_key)


def is_prepared(root: Path) -> bool:
    return (Path(root) / "manifest.csv").is_file() and (Path(root) / "classes.json").is_file()


def frame_folder_beside(mask_dir: Path) -> Path | None:
    """The folder of frames beside a folder of masks; None if there is none."""
    return next((path for name in FRAME_FOLDERS if (path := mask_dir.resolve().parent / name).is_dir()), None)


def load_prepared(root: Path | str) -> Prepared:
    """Read a prepared folder through its manifest. Raises `UserError` where files and manifest disagree."""
    root = Path(root)
    if not is_prepared(root):
        raise UserError(
            f"{root} is no prepared folder (no manifest.csv with classes.json): run prepare_full_dataset.py or "
            "prepare_cholecseg8k_assets.py first"
        )
    frame_folder = frame_folder_beside(root / "masks") or root / FRAME_FOLDERS[0]
    files = images_by_name(frame_folder)
    rows = read_csv(root / "manifest.csv", required=MANIFEST_FIELDS)
    if not rows:
        raise UserError(f"{root / 'manifest.csv'} lists no frames")
    masks = images_by_name(root / "masks")
    samples, missing = [], []
    for row in rows:
        name = nfc(row["name"])
        if name not in files or name not in masks:
            missing.append(name)
            continue
        try:
            number, fraction = int(row["frame"]), float(row["instrument_fraction"])
        except (TypeError, ValueError) as error:
            raise UserError(f"{root / 'manifest.csv'}: row {row['name']} is incomplete ({error})") from error
        samples.append(Sample(name, files[name], masks[name], nfc(row["video"]), number, row["split"] or "", fraction))
    if missing:
        raise UserError(
            f"{root}: the manifest lists frames whose frame or mask file is missing: {list_some(missing, 4)}; "
            "run the preparation again"
        )
    names = Counter(sample.name for sample in samples)
    if twice := [name for name, rows_of_name in names.items() if rows_of_name > 1]:
        raise UserError(f"{root / 'manifest.csv'} lists frames twice: {list_some(twice, 4)}; keep one row of each")
    if left_out := sorted(files.keys() - {sample.name for sample in samples}, key=natural_key):
        print(f"Note: {len(left_out)} frames of {frame_folder} are not in the manifest: {list_some(left_out, 3)}")
    samples.sort(key=lambda sample: natural_key(sample.name))
    scheme = read_scheme(root / "classes.json")
    settle_masks(root / "masks", scheme, [sample.mask for sample in samples])
    return Prepared(root, samples, scheme, data_kind(root))


def load_folders(
    frame_dir: Path | str, mask_dir: Path | str, scheme_name: str | None = None, video_pattern: str | None = None
) -> Prepared:
    """Read frames and masks of class ids in two folders, paired by the names of `under_names`.

    The scheme is the one named, else the classes.json beside the mask folder, else binary. If the folders are those of
    a prepared folder, its manifest is read instead. `video_pattern` finds the video in each frame's path; without it,
    the folder or the file name tells it. Raises `UserError` for a frame or mask without a partner, for names that do
    not tell the video, and for a folder with a review.
    """
    frame_dir, mask_dir = Path(frame_dir), Path(mask_dir)
    parent = frame_dir.resolve().parent
    own_folders = frame_dir.resolve().name in FRAME_FOLDERS and mask_dir.resolve() == parent / "masks"
    if own_folders and is_prepared(parent):
        if video_pattern:
            raise UserError(f"{parent} is a prepared folder, its manifest has the videos: leave out --video-pattern")
        return load_prepared(parent)
    check_no_review(frame_dir, mask_dir)
    frames = images_by_name(frame_dir)
    masks = under_names(frames, images_by_name(mask_dir))
    for what, names in (
        ("frames without mask", frames.keys() - masks.keys()),
        ("masks without frame", masks.keys() - frames.keys()),
    ):
        if names:
            raise UserError(
                f"{len(names)} {what} in {frame_dir} and {mask_dir}: {list_some(sorted(names, key=natural_key), 4)}; "
                "prepare_cholecseg8k_assets.py pairs other names"
            )
    if not frames:
        raise UserError(f"no images in {frame_dir}{archives_beside(frame_dir)}")
    beside = mask_dir.resolve().parent / "classes.json"
    scheme = read_scheme(beside) if scheme_name is None and beside.is_file() else load_scheme(scheme_name or "binary")
    settle_masks(mask_dir, scheme)
    videos = videos_of(list(frames), video_pattern, nfc(frame_dir.name))
    samples = [
        Sample(name, frames[name], masks[name], video, number if video_pattern else number_of(name))
        for number, (name, video) in enumerate(sorted(zip(frames, videos), key=lambda item: natural_key(item[0])))
    ]
    return Prepared(parent, samples, scheme, data_kind(frame_dir))


def mark_predicted(prepared: Prepared) -> Prepared:
    """Return the data with `predicted` set where the mask is a prediction of a model, and not corrected since."""
    found = predicted_masks(sample.mask for sample in prepared.samples)
    samples = [replace(sample, predicted=True) if sample.mask in found else sample for sample in prepared.samples]
    return replace(prepared, samples=samples)


def check_classes(prepared: Prepared, scheme: Scheme) -> None:
    """Raise `UserError` if the classes of the data are not those of a weights file, `scheme`."""
    if prepared.scheme.names != scheme.names:
        raise UserError(
            f"the weights know the classes {list_some(scheme.names)}, the data {list_some(prepared.scheme.names)}: "
            "prepare the data with the same --class-scheme"
        )


def read_sample(sample: Sample, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Decode a frame and its mask: (H, W, 3) uint8 RGB, (H, W) uint8 class ids. Raises `UserError` if sizes differ."""
    frame, orientation = read_upright(sample.frame)
    mask = read_mask(sample.mask, num_classes)
    try:
        check_same_size(frame.shape[1::-1], mask.shape[::-1], orientation)
    except UserError as error:
        raise UserError(f"{sample.frame}: {error}") from error
    return frame, mask


def videos_of_masks(mask_dir: Path, names: list[str], video_pattern: str | None = None) -> list[str]:
    """The video of each mask in a folder: by the pattern, else by the manifest of a prepared folder, else by its name.

    Raises `UserError` if the names do not tell the videos.
    """
    parent = mask_dir.resolve().parent
    if video_pattern is None and is_prepared(parent):
        listed = {nfc(row["name"]): nfc(row["video"]) for row in read_csv(parent / "manifest.csv", ["name", "video"])}
        if set(names) <= set(listed):
            return [listed[name] for name in names]
    return videos_of(names, video_pattern)


def videos_of(names: list[str], video_pattern: str | None = None, otherwise: str = "video") -> list[str]:
    """The video of each name (a path in its folder, without suffix): by the pattern, else as `video_of` guesses.

    Raises `UserError` if file names do not tell the videos.
    """
    if video_pattern:
        pattern = compile_pattern(video_pattern)
        return [video_by_pattern(pattern, name) for name in names]
    videos = [video_of(name, otherwise) for name in names]
    check_folders({video for name, video in zip(names, videos) if "/" in name})
    check_guesses({_without_suffix(name): video for name, video in zip(names, videos) if "/" not in name})
    return videos


def video_of(name: str, otherwise: str = "video") -> str:
    """The video of a frame's name: its folders, else its stem without known suffixes and trailing number, if any."""
    *folders, stem = name.split("/")
    return video_and_clip(tuple(folders))[0] or (folders[0] if folders else _beginning_and_number(stem)[0] or otherwise)


def number_of(name: str) -> int:
    """The trailing number of a frame's name without known suffixes; 0 if there is none."""
    return _beginning_and_number(name)[1]


def is_numbered(name: str) -> bool:
    """Whether a frame's name ends with the number that `number_of` returns."""
    return _without_suffix(name)[-1:].isdecimal()


def _beginning_and_number(stem: str) -> tuple[str, int]:
    """(stem without suffix and number, number) of a frame's stem; ("", 0) if it has no number."""
    match = re.match(r"^(.*?)[_\-. ]*(\d+)$", _without_suffix(stem))
    return (match.group(1), int(match.group(2))) if match else ("", 0)


def _without_suffix(stem: str) -> str:
    for suffix in (*MASK_SUFFIXES, *FRAME_SUFFIXES):
        stem = stem[: -len(suffix)] if stem.lower().endswith(suffix) else stem
    return stem
