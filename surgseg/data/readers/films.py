"""Frames of a film, for data sets whose masks lie beside a film."""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Iterator

import numpy as np

from surgseg.data.sources import MadeFile, SourceFile
from surgseg.files import UserError
from surgseg.frames import encode_frame
from surgseg.threads import cpu_count


def film_frames(film: SourceFile, wanted: Collection[int]) -> dict[int, MadeFile]:
    """The frames of a film with the source indices `wanted` (from 0), as JPEG files of quality 95.

    The film is decoded once if the frames are read in about their order. A frame that the film lacks, or that was
    decoded after damage, raises `UserError` when it is read.
    """
    if film.path is None:
        raise UserError(f"{film.name}: a film in a zip is not read; unpack the zip, and give the folder")
    source = _Film(film, wanted)
    return {
        index: MadeFile(f"{film.name}/{index:09d}.jpg", film.stamp, make=lambda index=index: source.read(index))
        for index in wanted
    }


class _Film:
    """Decodes the wanted frames in order. Those that are passed are kept for a while, since other threads ask for them;
    after that the film is decoded again from its start."""

    def __init__(self, film: SourceFile, wanted: Collection[int]):
        self.film, self.wanted = film, set(wanted)
        self.step = math.gcd(*wanted) or 1
        self.lock = threading.Lock()
        self.most = max(16, 2 * cpu_count())
        self._start()

    def _start(self) -> None:
        self.frames, self.last = self._decode(), -1
        self.kept: dict[int, np.ndarray] = {}
        self.dropped: set[int] = set()

    def read(self, index: int) -> bytes:
        with self.lock:
            if index in self.dropped:
                self._start()
            while index > self.last and self._advance():
                pass
            if index not in self.kept:
                raise UserError(f"{self.film.name}: has no frame {index}, or it is damaged")
            picture = self.kept.pop(index)
        return encode_frame(picture, ".jpg")

    def _advance(self) -> bool:
        """Decode one frame; False at the end of the film."""
        frame = next(self.frames, None)
        if frame is None:
            return False
        self.last = frame.index
        if frame.index in self.wanted and not frame.suspect:
            self.kept[frame.index] = frame.image
        if len(self.kept) > self.most:
            oldest = min(self.kept)
            self.dropped.add(oldest)
            del self.kept[oldest]
        return True

    def _decode(self) -> Iterator:
        from surgseg.video.reader import VideoReader
        from surgseg.video.sampling import Sampling

        with VideoReader(self.film.path, Sampling(step=self.step)) as reader:
            yield from reader
