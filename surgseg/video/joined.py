"""Read several recordings, in order, as one video, with the interface of `VideoReader`."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from surgseg.files import UserError
from surgseg.video.reader import Frame, VideoReader
from surgseg.video.recordings import Recording
from surgseg.video.sampling import ALL_FRAMES, Sampler, Sampling

_COUNTS = ("frames_read", "frames_read_suspect", "frames_lost", "frames_rescaled", "damaged_packets")
_SAME_RATE = 0.02  # relative difference; a recorder's average varies a little


class JoinedReader:
    """Parts of one operation: a part's numbers and times continue those of the part before.

    `parts`: (file, recording in it). A part begins at the end of the part before, with what is cut off there by its
    header; a pause between the recordings is not known. Raises `UserError` for a part of another size or rate, or of
    unknown length.
    """

    def __init__(self, parts: Sequence[tuple[Path, Recording]], sampling: Sampling = ALL_FRAMES):
        self.path, self._parts = parts[0][0], parts
        heads = [_head(path, part) for path, part in parts]
        for (path, part), head in zip(parts, heads):
            _check(f"{path} from byte {part.start} on (cut it there)" if part.start else str(path), head, heads[0])
        self._facts, self._lengths = heads[0]["facts"], [head["length_s"] for head in heads]
        self._expected = [head["expected"] for head in heads]
        self.rate, self.can_jump = self._facts["rate"], all(head["can_jump"] for head in heads)
        self.data = heads[0]["data"] if len({head["data"] for head in heads}) == 1 else "unmarked"
        self._facts["bytes_unread"] = sum(head["facts"]["bytes_unread"] for head in heads)
        self.notes = [*dict.fromkeys(note for head in heads for note in head["notes"]), *_appended(parts)]
        self.length_s = self.duration = sum(self._lengths)
        self.sampler = Sampler(sampling, self.length_s, self.rate)
        self.covered_s, self.ended = 0.0, False
        self._begun: list[dict] = []  # first frame and second of each part
        self._counts: Counter = Counter()  # of the parts that are read
        self._reader: VideoReader | None = None
        self._lock = threading.Lock()  # `counts` may be called while another thread ends a part

    @property
    def expected(self) -> int | None:
        return None if None in self._expected else sum(self._expected)

    def counts(self) -> dict[str, int | None]:
        """Frames and damage of the part read so far, with the keys of `run.json`."""
        with self._lock:
            now = self._counts + (_counted(self._reader) if self._reader else Counter())
        return {"frames_expected": self.expected, **{key: now[key] for key in _COUNTS}}

    def describe(self) -> dict:
        """The properties for `run.json`: those of the first part, and where each part begins that was read so far."""
        return {**self._facts, "duration_s": self.duration, "parts": list(self._begun)}

    def __enter__(self) -> JoinedReader:
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
        index, time_s = 0, 0.0
        for number, (path, part) in enumerate(self._parts):
            with VideoReader(path, part=part) as reader:
                reader.sampler = _Shifted(self.sampler, index, time_s)
                self._begun.append({"first_frame": index, "start_s": round(time_s, 6)})
                self._reader = reader
                try:
                    for frame in reader.frames(max(skip - self.sampler.selected, 0)):
                        self.covered_s = time_s + reader.covered_s
                        yield frame._replace(index=index + frame.index, time_s=time_s + frame.time_s)
                finally:
                    self.covered_s = time_s + reader.covered_s
                    with self._lock:
                        self._counts += _counted(reader)
                        self._reader = None
                index += reader.timeline.next_index
                time_s += self._lengths[number] + reader.missing_s
            if not reader.ended:
                return
        self.ended = True


class _Shifted:
    """The sampler of the whole video, asked about the frames of a part that begins at a frame and a second."""

    def __init__(self, whole: Sampler, index: int, time_s: float):
        self._whole, self._index, self._time_s = whole, index, time_s
        self.leaves_gaps = whole.leaves_gaps

    def selects(self, index: int, time_s: float) -> bool:
        return self._whole.selects(index + self._index, time_s + self._time_s)

    @property
    def done(self) -> bool:
        return self._whole.done

    @property
    def wanted_from(self) -> float:
        return self._whole.wanted_from - self._time_s


def _counted(reader: VideoReader) -> Counter:
    """The counts of a part, without `frames_expected`, which a raw stream does not tell."""
    return Counter({key: count for key, count in reader.counts().items() if key in _COUNTS})


def _head(path: Path, part: Recording) -> dict:
    """Return what is known of a part before it is read; its first frame is decoded, which tells its orientation."""
    with VideoReader(path, part=part) as reader:
        next(reader.frames(), None)
        names = ("length_s", "expected", "can_jump", "data", "notes")
        return {"facts": reader.describe(), **{name: getattr(reader, name) for name in names}}


def _check(name: str, head: dict, first: dict) -> None:
    size, other = ("{width}x{height}".format(**found["facts"]) for found in (head, first))
    if size != other:
        raise UserError(f"{name} is {size} pixels, the first part {other}: parts of one video have one size")
    rate, other = (found["facts"]["rate"] for found in (head, first))
    if (rate is None) != (other is None) or (rate and abs(rate / other - 1) > _SAME_RATE):
        raise UserError(f"{name} has {rate} frames a second, the first part {other}: parts of one video have one rate")
    if head["length_s"] is None:
        raise UserError(f"{name}: how long this part is cannot be told, so the times after it are unknown")


def _appended(parts: Sequence[tuple[Path, Recording]]) -> Iterator[str]:
    """Say which files hold several recordings."""
    held = Counter(path for path, _ in parts)
    for path, count in held.items():
        if count > 1:
            yield f"{path.name} holds {count} recordings, appended to each other: they are read as one video"
