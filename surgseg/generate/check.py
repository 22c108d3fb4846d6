"""Predict a few frames of a video: a quick check before a long run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surgseg.data.sources import data_kind
from surgseg.files import UserError
from surgseg.predict import Predictor
from surgseg.video.inputs import VideoSource
from surgseg.video.reader import Frame
from surgseg.video.sampling import Sampling
from surgseg.video.views import view_of_video
from surgseg.view import View

CAUTION = "A few frames of a video prove nothing."
UNKNOWN_LENGTH_STEP = 25  # frames; used if the length of the video is unknown


@dataclass(frozen=True)
class VideoCheck:
    """Frames of a video with their class ids (N, H, W) and coverage (N,); `rule` says in words how they were chosen.

    `data` is "synthetic" or "unmarked". `suspect` counts the frames left out because they follow damage. `view`: None
    for whole frames.
    """

    name: str
    frames: list[Frame]
    ids: np.ndarray
    coverage: np.ndarray
    rule: str
    data: str
    suspect: int
    view: View | None

    def record(self) -> dict:
        """Return the numbers and the chosen frames in JSON types, without the name of the file."""
        found = self.coverage > 0
        return {
            "name": self.name,
            "rule": self.rule,
            "data": self.data,
            "frames": len(self.frames),
            "detection_rate": float(found.mean()),
            "mean_coverage": float(self.coverage.mean()),
            "frames_without_detection": int((~found).sum()),
            "frames_suspect_left_out": self.suspect,
            "view_rectangle": self.view and self.view.rectangle,
            "selection": [
                {"frame": frame.index, "time_s": round(frame.time_s, 6), "coverage": float(covered)}
                for frame, covered in zip(self.frames, self.coverage)
            ],
        }


def check_video(
    source: VideoSource,
    name: str,
    predictor: Predictor,
    count: int,
    image_rate: float = 25.0,
    view: str | list[int] = "full",
) -> VideoCheck:
    """Decode and predict `count` frames spread over a video; the model sees the `view` of `parse_view`.

    If the length of the video is unknown, take every 25th frame from its beginning. Leave out frames that follow
    damage. Raises `UserError` that names the video if no frame is left.
    """
    with source.open(image_rate=image_rate) as reader:
        length = reader.length_s
    sampling = Sampling("spread", None, count) if length else Sampling(step=UNKNOWN_LENGTH_STEP, max_frames=count)
    rule = "spread over the video" if length else f"every {UNKNOWN_LENGTH_STEP}th from the beginning (length unknown)"
    with source.open(sampling, image_rate) as reader:
        taken = list(reader)
        marked = reader.data == "synthetic" or (source.images and data_kind(source.path) == "synthetic")
    frames = [frame for frame in taken if not frame.suspect]
    if not frames:
        why = f": all {len(taken)} checked frames follow damage" if taken else ""
        raise UserError(f"{source.path}: no frame of this video can be decoded without damage{why}")
    seen = view_of_video(source, view, image_rate)
    found = predictor.predict(np.stack([frame.image for frame in frames]), seen)
    data = "synthetic" if marked else "unmarked"
    return VideoCheck(name, frames, found.ids, found.measures.coverage, rule, data, len(taken) - len(frames), seen)


def check_words(video: dict) -> list[str]:
    """Return the four numbers of a `VideoCheck.record` in two lines, and the suspect frames, if any, in a third."""
    frames, suspect = video["frames"], video["frames_suspect_left_out"]
    lines = [
        f"{frames} frame{'s' * (frames != 1)} evaluated, detection rate {video['detection_rate']:.1%}",
        f"mean coverage {video['mean_coverage']:.2%}, {video['frames_without_detection']} without detection",
    ]
    return lines + ([f"{suspect} suspect left out (decoded after damage)"] if suspect else [])
