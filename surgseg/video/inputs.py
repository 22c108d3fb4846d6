"""Find the videos that `--video-path` names: files, globs and folders."""

from __future__ import annotations

import glob
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surgseg.files import IMAGE_SUFFIXES, UserError, is_hidden, list_some, natural_key
from surgseg.video.glimpses import keyframes
from surgseg.video.images import ImageReader
from surgseg.video.joined import JoinedReader
from surgseg.video.reader import VideoReader
from surgseg.video.recordings import find_recordings
from surgseg.video.sampling import ALL_FRAMES, Sampling

VIDEO_SUFFIXES = (
    ".mp4 .m4v .mov .avi .mkv .webm .mpg .mpeg .vob .ts .m2ts .mts .mxf .wmv .asf .flv .3gp .dv "
    ".h264 .264 .hevc .265 .mjpeg .dcm"
).split()
_FARTHEST = 50  # frames between two that are taken from a video read in order: 24 frames end after 1,200
_ENDS = 1 << 20  # bytes at each end of a file that its fingerprint reads
_BLOCKS, _BLOCK = 256, 4096  # blocks that it reads between the ends, and bytes of each


@dataclass(frozen=True)
class VideoSource:
    """A video file, or a folder of images that is read as one (`images`), or files of one operation (`parts`, in
    order, from `path` on). Files that were appended to each other in one file are parts too."""

    path: Path
    images: bool = False
    parts: tuple[Path, ...] = ()

    def open(
        self, sampling: Sampling = ALL_FRAMES, image_rate: float = 25.0
    ) -> VideoReader | ImageReader | JoinedReader:
        """Open a reader of the frames that `sampling` takes; `image_rate`: frames per second of a folder of images."""
        if self.images:
            return ImageReader(self.path, image_rate, sampling)
        parts = [(path, part) for path in self.files for part in find_recordings(path)]
        return JoinedReader(parts, sampling) if len(parts) > 1 else VideoReader(self.path, sampling)

    @property
    def files(self) -> list[Path]:
        return self._images() if self.images else list(self.parts or [self.path])

    @property
    def size(self) -> int:
        """Bytes."""
        try:
            return sum(file.stat().st_size for file in self.files)
        except OSError:  # a broken link: opening it raises the error
            return 0

    def fingerprint(self) -> str:
        """Return a hash that identifies the video without its name: sha256, hex.

        Of a file: over its size, both ends and blocks spread between them. A small change elsewhere is not noticed;
        reading all of a large file takes too long. Of several files: over theirs. Of a folder of images: over the names
        and sizes of all of them.
        """
        if not self.images and not self.parts:
            return _fingerprint_of(self.path)
        digest = hashlib.sha256()
        for file in self.files:
            part = f"{file.name} {file.stat().st_size}\n" if self.images else _fingerprint_of(file)
            digest.update(part.encode())
        return digest.hexdigest()

    def _images(self) -> list[Path]:
        found = [path for path in self.path.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
        return sorted((path for path in found if not is_hidden(path.name)), key=lambda path: natural_key(path.name))


def _fingerprint_of(path: Path) -> str:
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as stream:
        digest.update(stream.read(_ENDS))
        for block in range(_BLOCKS):
            stream.seek(size * block // _BLOCKS)
            digest.update(stream.read(_BLOCK))
        stream.seek(max(size - _ENDS, 0))
        digest.update(stream.read(_ENDS))
    return digest.hexdigest()


def join_sources(sources: Sequence[VideoSource]) -> VideoSource:
    """Return video files, in order, as one video. Raises `UserError` for a folder of images."""
    for source in sources:
        if source.images:
            raise UserError(f"{source.path} is a folder of images: --join takes video files")
    return VideoSource(sources[0].path, parts=tuple(source.path for source in sources))


def find_sources(names: Sequence[str]) -> list[VideoSource]:
    """Return the videos that files, globs and folders name, in that order, each once.

    A folder stands for the videos in it or, if it holds images, for one video. Raises `UserError` for a name without
    a video.
    """
    found: dict[Path, VideoSource] = {}
    for name in names:
        matches = [Path(name)]
        if not matches[0].exists():
            expanded = glob.glob(name, recursive=True)  # noqa: PTH207 - an absolute pattern is no Path.glob
            matches = [Path(path) for path in sorted(expanded, key=natural_key)]
            if not matches:
                raise UserError(f"{name}: no such file" + (", and nothing matches it" if glob.has_magic(name) else ""))
        for path in matches:
            if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
                raise UserError(f"{path} is an image; --video-path takes the folder of the images as one video")
            for source in _in_folder(path) if path.is_dir() else [VideoSource(path)]:
                found.setdefault(source.path.resolve(), source)
    return list(found.values())


def _in_folder(folder: Path) -> list[VideoSource]:
    try:
        files = [path for path in folder.iterdir() if path.is_file() and not is_hidden(path.name)]
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror or error}") from error
    videos = sorted((f for f in files if f.suffix.lower() in VIDEO_SUFFIXES), key=lambda path: natural_key(path.name))
    images = [f for f in files if f.suffix.lower() in IMAGE_SUFFIXES]
    if videos and images:
        raise UserError(
            f"{folder} holds videos ({list_some(f.name for f in videos[:3])}) and images; name the videos, "
            f"or give the images a folder of their own"
        )
    if not videos and not images:
        raise UserError(f'{folder} holds neither videos nor images; of the folders in it say "{folder / "*"}"')
    return [VideoSource(path) for path in videos] or [VideoSource(folder, images=True)]


def first_frames(sources: Sequence[VideoSource], count: int = 4) -> list[np.ndarray]:
    """Return at most `count` of the `spread_frames` of the first video that has any. Raises `UserError` if none has."""
    reason = UserError("no frame of these videos can be decoded")
    for source in sources:
        try:
            return list(itertools.islice(spread_frames(source, count), count))
        except UserError as error:  # reported when this video is read
            reason = error
    raise reason


def spread_frames(source: VideoSource, count: int, image_rate: float = 25.0) -> Iterator[np.ndarray]:
    """Yield `count` frames (H, W, 3) uint8 RGB of one size, spread over a video, without a pass over all of it.

    They are keyframes. Of a video that has few, or in which one cannot seek, frames from its beginning follow, at most
    `_FARTHEST` frames apart. Raises `UserError` if no frame can be decoded.
    """
    sampling, found = Sampling("spread", None, count), 0
    if not source.images:
        parts = [(path, part) for path in source.files for part in find_recordings(path)]
        for path, part in parts:
            for frame in keyframes(path, part, -(-count // len(parts))):
                found += 1
                yield frame
        if 2 * found >= count:
            return
        with source.open() as reader:
            apart = -(-(reader.expected or count) // count)
        sampling = Sampling(step=min(apart, _FARTHEST), max_frames=count)
    with source.open(sampling, image_rate) as reader:
        for frame in reader:
            if frame.index or not found:  # the first frame may be a keyframe
                yield frame.image
