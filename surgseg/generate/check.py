"""A few frames of a video and what a model finds in them: a look before a long run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surgseg.data.dataset import data_kind_near
from surgseg.files import UserError
from surgseg.predict import Predictor
from surgseg.video.inputs import VideoSource
from surgseg.video.reader import Frame
from surgseg.video.sampling import Sampling

BLIND_STEP = 25  # frames, where a video's length is unknown


@dataclass(frozen=True)
class VideoCheck:
    """Frames of a video with their class ids (N, H, W), their coverage (N,), and the rule that chose them in words.

    `data` is "synthetic" where the video says so; `suspect` counts frames left out since they follow damage.
    """

    name: str
    frames: list[Frame]
    ids: np.ndarray
    coverage: np.ndarray
    rule: str
    data: str
    suspect: int

    def record(self) -> dict:
        """The four numbers and the frames, as JSON holds them; nothing that names the file."""
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
            "selection": [
                {"frame": frame.index, "time_s": round(frame.time_s, 6), "coverage": float(covered)}
                for frame, covered in zip(self.frames, self.coverage)
            ],
        }


def check_video(
    source: VideoSource, name: str, predictor: Predictor, count: int, image_rate: float = 25.0
) -> VideoCheck:
    """Decode `count` frames spread over a video and predict them once.

    If the length of the video is unknown, every 25th frame from its beginning. Frames that follow damage are left out.
    Raises `UserError` naming the video where none can be decoded.
    """
    with source.open(image_rate=image_rate) as reader:
        length = reader.length_s
    sampling = Sampling("spread", None, count) if length else Sampling(step=BLIND_STEP, max_frames=count)
    rule = "spread over the video" if length else f"every {BLIND_STEP}th from the beginning (length unknown)"
    with source.open(sampling, image_rate) as reader:
        taken = list(reader)
        marked = reader.data == "synthetic" or (source.images and data_kind_near(source.path) == "synthetic")
    frames = [frame for frame in taken if not frame.suspect]
    if not frames:
        why = f": all {len(taken)} that were looked at follow damage" if taken else ""
        raise UserError(f"{source.path}: no frame of this video can be decoded whole{why}")
    found = predictor.predict(np.stack([frame.image for frame in frames]))
    data = "synthetic" if marked else "unmarked"
    return VideoCheck(name, frames, found.ids, found.measures.coverage, rule, data, len(taken) - len(frames))
