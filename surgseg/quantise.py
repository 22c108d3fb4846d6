"""Quantise an ONNX export to 8 bits, calibrated on real frames; refuse it where it costs too much Dice.

Static quantisation of ONNX Runtime: weights int8 for each channel, activations uint8 between the extremes that the
calibration frames reach. The first convolution, the last one and what follows it stay in float32. The file has the
input, the output and the metadata of the float32 export.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from surgseg.checkpoint import Checkpoint
from surgseg.console import quiet
from surgseg.data.dataset import Sample, check_classes, mark_predicted, read_sample
from surgseg.data.leaks import true_samples
from surgseg.data.reviewed import load_data_root
from surgseg.data.splits import apply_assignment
from surgseg.data.views import sample_views
from surgseg.files import UserError
from surgseg.labels import Scheme
from surgseg.onnx import INT8, METADATA, OnnxNetwork, check
from surgseg.places import find_data
from surgseg.predict import Predictor
from surgseg.preprocess import resize_frames
from surgseg.scores.metrics import confusion, pooled_scores, union_matrix
from surgseg.video.inputs import find_sources, first_frames
from surgseg.view import view_of

LEAST, MOST = 16, 64  # frames to calibrate on
SCORED = 200  # frames to compare, at most
_QUANTISED = ("Conv", "Add", "Clip", "Relu", "Concat", "Resize", "MaxPool")


@dataclass(frozen=True)
class Cost:
    """What 8 bits change: mean Dice of the instrument classes, over all pixels and of the worst frame.

    `agreement` compares the int8 masks with the float32 masks. `float32` and `int8` compare with ground truth, and
    `worst_fall` is the largest difference of a frame; None without ground truth.
    """

    frames: int
    agreement: float
    worst_agreement: float
    float32: float | None = None
    int8: float | None = None
    worst_fall: float | None = None

    @property
    def fall(self) -> float:
        """By how much Dice falls; without ground truth, by how much the masks differ from those of float32."""
        return 1 - self.agreement if self.float32 is None else self.float32 - self.int8

    def __str__(self) -> str:
        text = f"Dice of int8 against float32 masks {self.agreement:.4f}, worst frame {self.worst_agreement:.4f}"
        if self.float32 is None:
            return f"{text} (no ground truth)"
        return (
            f"{text}; against ground truth float32 {self.float32:.4f}, int8 {self.int8:.4f}, largest fall of a frame "
            f"{self.worst_fall:.4f}"
        )


@dataclass(frozen=True)
class RealFrames:
    """`calibration`: (1, 3, h, w) uint8 RGB at the model's size. `pairs`: (H, W, 3) uint8 RGB frames at their own size
    with their true masks, or None, to be read once. `origin` describes both."""

    calibration: list[np.ndarray]
    pairs: Iterable[tuple[np.ndarray, np.ndarray | None]]
    origin: str


def real_frames(video: str | None, root: Path | None, checkpoint: Checkpoint) -> RealFrames:
    """Return those of the prepared folder `root`, else of `video`, else of the prepared data at a default path.

    Raises `UserError` if there are none, or too few.
    """
    if video and not root:
        return video_frames(video, checkpoint)
    root = root or find_data()
    if root is None:
        raise UserError("--int8 is calibrated on real frames: give --data-root (prepared data) or --frames (a video)")
    return prepared_frames(root, checkpoint)


def prepared_frames(root: Path, checkpoint: Checkpoint) -> RealFrames:
    """Calibrate on the training part that the weights file stores, and compare on the test or validation part.

    Where a prepared folder has none of these frames, every other one is for calibration. Raises `UserError` for too few
    frames, and for other classes than those of the weights.
    """
    prepared = mark_predicted(load_data_root(root))
    check_classes(prepared, checkpoint.scheme)
    samples, stored = true_samples(prepared.samples), checkpoint.training.get("split")
    parts = apply_assignment(samples, stored) if stored else {}
    train, val, test = ([samples[index] for index in parts.get(part, ())] for part in ("train", "val", "test"))
    if not train or not (test or val):
        train, test = samples[::2], samples[1::2]
    train, test = _spread(train, MOST), _spread(test or val, SCORED)
    views = sample_views(samples, checkpoint.view)

    def read(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        frame, mask = read_sample(sample, checkpoint.scheme.num_classes)
        view = views(sample, frame)
        return view.crop(frame), view.crop(mask)

    calibration, pairs = map(read, train), map(read, test)
    origin = f"{len(train)} frames of {root} to calibrate on, {len(test)} others to compare"
    return RealFrames(_resized((frame for frame, _ in calibration), len(train), checkpoint), pairs, origin)


def video_frames(path: str, checkpoint: Checkpoint) -> RealFrames:
    """Calibrate and compare on every other one of some frames of a video or a folder of images, without ground truth.

    Raises `UserError` for too few frames.
    """
    frames = first_frames(find_sources([path]), 3 * LEAST)
    view = view_of(checkpoint.view, frames)
    frames = [view.crop(frame) for frame in frames]
    calibration, pairs = frames[::2], [(frame, None) for frame in frames[1::2]]
    origin = f"{len(calibration)} frames of {path} to calibrate on, {len(pairs)} others to compare"
    return RealFrames(_resized(calibration, len(calibration), checkpoint), pairs, origin)


def _spread(samples: list[Sample], most: int) -> list[Sample]:
    return samples[:: math.ceil(len(samples) / most)]


def _resized(frames: Iterable[np.ndarray], count: int, checkpoint: Checkpoint) -> list[np.ndarray]:
    if count < LEAST:
        raise UserError(f"--int8: {count} frames to calibrate on, {LEAST} or more are needed (--data-root, --frames)")
    batches = (torch.from_numpy(np.require(frame, requirements="CW")).permute(2, 0, 1)[None] for frame in frames)
    return [resize_frames(batch, checkpoint.image_size).numpy() for batch in batches]


def quantise(checkpoint: Checkpoint, graph: bytes, real: RealFrames, most_fall: float) -> tuple[bytes, Cost]:
    """Return (int8 file, its cost) of a float32 export. Raises `UserError` if Dice falls by more than `most_fall`."""
    import onnx

    model = onnx.load_from_string(_quantised(graph, real.calibration))
    float32, int8 = OnnxNetwork(graph), OnnxNetwork(model.SerializeToString())
    cost = measure_cost(checkpoint, float32, int8, real.pairs)
    if cost.fall > most_fall:
        raise UserError(
            f"--int8 costs {cost.fall:.4f} of Dice, more than {most_fall:g} ({cost}); nothing was written. "
            "Calibrate on frames like those that the model is for (--data-root), or allow more with --max-fall"
        )
    own = [frame.transpose(0, 2, 3, 1)[0] for frame in real.calibration[:4]]
    facts = {
        **float32.metadata,
        "parity": asdict(check(checkpoint, int8, own)),
        INT8: {"calibrated_on": len(real.calibration), **asdict(cost)},
    }
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {METADATA: json.dumps(facts)})
    return model.SerializeToString(), cost


def _quantised(graph: bytes, calibration: Sequence[np.ndarray]) -> bytes:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_static
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    model = onnx.load_from_string(graph)
    add_pre_process_metadata(model)  # else a warning: but the exporter has joined the layers already
    nodes = list(model.graph.node)
    convolutions = [index for index, node in enumerate(nodes) if node.op_type == "Conv"]
    ends = nodes[: convolutions[0] + 1] + nodes[convolutions[-1] :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantize_static(
            model,
            path,
            _Calibration(iter(calibration)),
            op_types_to_quantize=list(_QUANTISED),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[node.name for node in ends],
        )
        return path.read_bytes()


@dataclass
class _Calibration:
    """Gives the frames one at a time, as ONNX Runtime asks for them."""

    frames: Iterator[np.ndarray]

    def get_next(self) -> dict[str, np.ndarray] | None:
        frame = next(self.frames, None)
        return None if frame is None else {"frames": frame}


def measure_cost(
    checkpoint: Checkpoint,
    float32: OnnxNetwork,
    int8: OnnxNetwork,
    pairs: Iterable[tuple[np.ndarray, np.ndarray | None]],
) -> Cost:
    """Compare the masks of both networks with each other and with the `RealFrames.pairs`. Void is ignored.

    Raises `UserError` if the float32 masks show no instrument.
    """
    scheme, cpu = checkpoint.scheme, torch.device("cpu")
    predictors = [Predictor(checkpoint, cpu, network=network) for network in (float32, int8)]
    agreement, before, after = [], [], []
    for frame, truth in tqdm(pairs, "Comparing int8", unit="frame", disable=quiet()):
        masks = [predictor.predict(frame[None]).ids for predictor in predictors]
        compared = [(agreement, masks[1], masks[0])]
        if truth is not None:
            compared += [(counts, mask, truth[None]) for counts, mask in zip((before, after), masks)]
        for counts, found, wanted in compared:
            counts.append(confusion(torch.tensor(found), torch.tensor(wanted), scheme.num_classes)[0].numpy())
    if not sum(union_matrix(counts[:-1], scheme.instrument_ids)[1:].sum() for counts in agreement):
        raise UserError(f"--int8: no instrument is found in the {len(agreement)} frames to compare; give other frames")
    alike = _dice(agreement, scheme)
    if not before:
        return Cost(len(agreement), alike[0], min(alike[1:]))
    before, after = _dice(before, scheme), _dice(after, scheme)
    falls = [one - other for one, other in zip(before[1:], after[1:])]
    return Cost(len(agreement), alike[0], min(alike[1:]), before[0], after[0], max(falls))


def _dice(counts: list[np.ndarray], scheme: Scheme) -> list[float]:
    """Return the mean Dice of the instrument classes over all frames, then of each; 1 where no mask shows any."""
    scores = [pooled_scores(each, scheme)["mean_instrument"]["dice"] for each in (sum(counts), *counts)]
    return [1.0 if math.isnan(score) else score for score in scores]
