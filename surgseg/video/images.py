"""Read a folder of images as one video of an assumed frame rate, with the interface of `VideoReader`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from surgseg.files import UserError
from surgseg.frames import frame_size, list_images, open_image, read_frame
from surgseg.threads import ahead, cpu_count
from surgseg.video.reader import Frame
from surgseg.video.sampling import ALL_FRAMES, Sampler, Sampling

_WORKERS = min(cpu_count(), 4)


class ImageReader:
    """The images directly in a folder, in natural order, as the frames of a video that a `Sampling` takes.

    The index of an image is its position from 0, its time the index divided by `rate`, which is assumed. Only images of
    the sample are decoded; the others count as read. An image that cannot be decoded is counted and left out, and its
    index is not used; one of another size is scaled to that of the first one. Raises `UserError` if there is no image,
    or none that can be decoded.
    """

    data = "unmarked"
    notes = ()
    can_jump = True  # images that are skipped are not decoded

    def __init__(self, folder: Path | str, rate: float = 25.0, sampling: Sampling = ALL_FRAMES):
        self.path, self.rate = Path(folder), float(rate)
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise UserError(f"{rate} images a second: the rate of an image folder is a number above 0")
        self.images = _images_in(self.path)
        self.sampler = Sampler(sampling, self.length_s, self.rate)
        self.ended = False
        self.rescaled = self.lost = 0
        self._asked = 0  # images that the sampler was asked about
        self._covered = 0  # images decoded or skipped so far
        self.size, self._mode = _first_size(self.path, self.images)

    @property
    def covered_s(self) -> float:
        return self._covered / self.rate

    @property
    def expected(self) -> int:
        return len(self.images)

    @property
    def duration(self) -> float:
        """Seconds at the assumed rate."""
        return len(self.images) / self.rate

    length_s = duration

    def counts(self) -> dict[str, int | None]:
        """Images and damage of the part read so far, with the keys of `run.json`."""
        return {
            "frames_expected": self.expected,
            "frames_read": self._covered - self.lost,
            "frames_read_suspect": 0,
            "frames_lost": self.lost,
            "frames_rescaled": self.rescaled,
            "damaged_packets": self.lost,
        }

    def describe(self) -> dict:
        """The properties for `run.json`, with the keys of `VideoReader.describe`."""
        return {
            "width": self.size[1],
            "height": self.size[0],
            "rate": self.rate,
            "rate_assumed": True,
            "duration_s": self.duration,
            "codec": self.images[0].suffix.lower().lstrip("."),
            "pixel_format": self._mode,
            "container": "images",
            "bytes_unread": 0,
            "video_tracks": 1,
            "rotation": 0,
            "mirrored": False,
            "matrix": None,
            "transfer": None,
            "tone_mapped": False,
            "deinterlaced": None,
        }

    def __enter__(self) -> ImageReader:
        return self

    def __exit__(self, kind, value, trace) -> None:
        pass

    def stop(self) -> None:
        """End `frames` before its next frame; may be called from another thread."""
        self.sampler.done = True

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, skip: int = 0) -> Iterator[Frame]:
        """Yield the frames of the sample, except the first `skip`, which an earlier run has. Can be iterated once."""
        decoded, reason = 0, ""
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="images") as pool:
            for index, image in ahead(pool, self._decode, self._selected(), 2 * _WORKERS):
                self._covered = index + 1
                if isinstance(image, UserError):
                    self.lost += 1
                    reason = reason or str(image)
                    continue
                decoded += 1
                self.rescaled += image.shape[:2] != self.size
                if decoded > skip:
                    if image.shape[:2] != self.size:
                        image = np.asarray(Image.fromarray(image).resize(self.size[::-1], Image.Resampling.BICUBIC))
                    yield Frame(index, index / self.rate, image, False)
        self._covered = self._asked
        self.ended = not self.sampler.done
        if reason and not decoded:
            raise UserError(f"{self.path}: not one image can be decoded ({reason})")

    def _selected(self) -> Iterator[int]:
        """Yield the indices of the images of the sample, with those of an earlier run: some may be damaged."""
        for index in range(len(self.images)):
            self._asked = index + 1
            if self.sampler.selects(index, index / self.rate):
                yield index
            if self.sampler.done:
                return

    def _decode(self, index: int) -> tuple[int, np.ndarray | UserError]:
        try:
            return index, read_frame(self.images[index])
        except UserError as error:
            return index, error


def _images_in(folder: Path) -> list[Path]:
    found = list_images(folder)
    images = [path for path in found if path.parent == folder]
    if images:
        return images
    if found:
        example = found[0].parent
        raise UserError(f"{folder} holds images only in folders below it: each is a video, give one, such as {example}")
    raise UserError(f"{folder} holds no images")


def _first_size(folder: Path, images: list[Path]) -> tuple[tuple[int, int], str]:
    """Return ((height, width), Pillow mode) of the first image that can be read."""
    reason = ""
    for path in images:
        try:
            with open_image(path, str(path)) as image:
                mode = image.mode
            width, height, _ = frame_size(path.read_bytes(), str(path))
            return (height, width), mode
        except UserError as error:
            reason = reason or str(error)
    raise UserError(f"{folder}: not one of its {len(images)} images can be decoded ({reason})")
