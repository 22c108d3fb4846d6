"""The field of view of each video of labelled frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm import tqdm

from surgseg.console import quiet
from surgseg.data.dataset import Sample
from surgseg.files import UserError, list_some, natural_key
from surgseg.frames import read_frame
from surgseg.threads import ahead, cpu_count
from surgseg.view import FRAMES, View, brightness, find_in_levels, view_of


def sample_views(
    samples: Sequence[Sample], asked: str | list[int], *, silent: bool = False
) -> Callable[[Sample, np.ndarray], View]:
    """Return a function that gives the view of a sample's frame (H, W, 3). `asked` is what `parse_view` returns.

    "auto" finds a view for each video and frame size, in frames spread over it, and prints what it found, unless
    `silent`. A rectangle needs frames of one size: `UserError` for one of another size.
    """
    if asked == "auto":
        found = _find_views(samples)
        if not silent:
            _print_views(found)
        return lambda sample, frame: found.get((sample.video, frame.shape[:2])) or View.whole(frame.shape[:2])

    def given(sample: Sample, frame: np.ndarray) -> View:
        try:
            view = view_of(asked, [frame])
            if asked != "full" and view.frame != first:
                sizes = "is {}x{} pixels, an earlier one {}x{}".format(*view.frame, *first)
                raise UserError(f"{sizes}: four numbers for --view need frames of one size; use auto or full")
        except UserError as error:
            raise UserError(f"{sample.frame}: {error}") from error
        return view

    first = read_frame(samples[0].frame).shape[:2] if asked != "full" else None
    return given


def _find_views(samples: Sequence[Sample]) -> dict[tuple[str, tuple[int, int]], View]:
    videos = defaultdict(list)
    for sample in samples:
        videos[sample.video].append(sample)

    def find(video: str) -> dict[tuple[str, tuple[int, int]], View]:
        frames, sizes = videos[video], defaultdict(list)
        for place in np.unique(np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)):
            try:
                frame = read_frame(frames[place].frame)
            except UserError:  # reported with all others when the frames are read
                continue
            sizes[frame.shape[:2]].append(brightness(frame))
        return {(video, size): find_in_levels(levels, size) for size, levels in sizes.items()}

    with ThreadPoolExecutor(cpu_count()) as pool:
        jobs = ahead(pool, find, sorted(videos, key=natural_key), 2 * cpu_count())
        found = list(tqdm(jobs, "Finding the field of view", len(videos), unit="video", disable=quiet()))
    return {key: view for part in found for key, view in part.items()}


def _print_views(views: dict[tuple[str, tuple[int, int]], View]) -> None:
    whole = [f"{video} ({view.reason})" for (video, _), view in views.items() if view.is_whole]
    told = f"; the whole frame of {list_some(whole, 4)}" if whole else ""
    print(f"Field of view: frames of {len(views) - len(whole)} of {len(views)} videos are cropped{told}")
