"""ONNX Runtime as a second way to compute probabilities: export a model, check it against PyTorch, keep the file.

The exported graph takes resized frames (N, 3, h, w) uint8 and returns probabilities (N, K, h, w) float32. Its metadata
holds the weights' sha256 and the result of the check, so that the file is never used for other weights, and what other
programs need to use the graph (docs/exporting.md).
"""

from __future__ import annotations

import importlib.util
import json
import logging
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from surgseg.checkpoint import Checkpoint
from surgseg.files import UserError, check_named, write_bytes
from surgseg.predict import Predictor, TorchNetwork
from surgseg.preprocess import normalise, resize_frames

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
MAX_DIFFERENCE = 1e-3  # of a probability, both in float32: far above rounding errors, far below what changes a mask
MIN_AGREEMENT = 0.9999  # share of pixels with the same class
METADATA, INT8 = "surgseg", "int8"  # keys: of the metadata, and in it of a quantised file
_CONTRACT = 3  # version of the graph's inputs, outputs and metadata


@dataclass(frozen=True)
class Parity:
    """How an exported graph differs from PyTorch: largest probability difference, share of pixels of equal class."""

    frames: int
    largest_difference: float
    mask_agreement: float

    @property
    def agrees(self) -> bool:
        return self.largest_difference <= MAX_DIFFERENCE and self.mask_agreement >= MIN_AGREEMENT

    def __str__(self) -> str:
        difference = f"largest probability difference {self.largest_difference:.1e}"
        return f"{difference}, {self.mask_agreement:.4%} of pixels alike"


class OnnxNetwork:
    """An exported graph in ONNX Runtime on the CPU: (N, 3, h, w) uint8 -> (N, K, h, w) float32 probabilities."""

    def __init__(self, graph: bytes | Path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other stages need the cores
        options.log_severity_level = 3
        source = graph if isinstance(graph, bytes) else str(graph)
        self.session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        self.version = onnxruntime.__version__
        self.metadata = json.loads(self.session.get_modelmeta().custom_metadata_map.get(METADATA, "{}"))
        self.parity = Parity(**self.metadata["parity"]) if "parity" in self.metadata else None

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.session.run(None, {"frames": frames.contiguous().numpy()})[0])

    def describe(self) -> dict:
        """Return the entry "backend" of `run.json`."""
        precision = INT8 if INT8 in self.metadata else "float32"
        return {"name": "onnxruntime", "version": self.version, "device": "cpu", "precision": precision}


class _Graph(nn.Module):
    """The exported module: normalisation, the model, temperature, softmax."""

    def __init__(self, checkpoint: Checkpoint):
        super().__init__()
        self.model, self.mean, self.std = checkpoint.model, checkpoint.mean, checkpoint.std
        self.temperature = checkpoint.temperature

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        logits = self.model(normalise(frames, self.mean, self.std))
        if self.temperature != 1:
            logits = logits / self.temperature
        if logits.shape[1] != 2:
            return logits.softmax(1)
        second = (logits[:, 1:] - logits[:, :1]).sigmoid()  # the same, which ONNX Runtime computes faster
        return torch.cat([1 - second, second], 1)


def missing_packages() -> list[str]:
    """Return the packages that must be installed before a model can be exported and run."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    major, minor = (int(part) for part in torch.__version__.split(".")[:2])
    return missing + ["torch>=2.5"] * ((major, minor) < (2, 5))


def choose_network(
    checkpoint: Checkpoint,
    weights: Path,
    device: torch.device,
    *,
    backend: str = "auto",
    precision: str = "auto",
    frames: Callable[[], Sequence[np.ndarray]],
):
    """Return the network of a `Predictor` for `backend`: auto, torch, onnx or int8.

    auto is ONNX Runtime on a CPU where it is installed, else PyTorch. `frames()` returns real frames for the check of a
    new export. If an export cannot be used, auto prints the reason and takes PyTorch, and onnx raises `UserError`. int8
    is the file that export_model.py --int8 writes; auto never takes it.
    """
    check_named("backend", backend, ("auto", "torch", "onnx", INT8))
    if backend in ("onnx", INT8) and device.type != "cpu":
        raise UserError(
            f"--backend {backend} computes on the CPU, not {device.type}; use --device cpu or --backend torch"
        )
    reduced = precision in ("bf16", "fp16")
    if backend in ("onnx", INT8) and reduced:
        raise UserError(f"--precision {precision} needs --backend torch; ONNX Runtime does not compute in it here")
    if backend == INT8:
        return quantised_network(checkpoint, int8_path(weights))
    possible = device.type == "cpu" and not reduced and not missing_packages()
    if backend == "onnx" or (backend == "auto" and possible):
        try:
            return kept_network(checkpoint, onnx_path(weights), frames)
        except UserError as error:
            if backend == "onnx":
                raise
            print(f"Note: ONNX Runtime is not used: {error}")
    return TorchNetwork(checkpoint, device, precision)


def onnx_path(weights: Path) -> Path:
    """Return the path of the export of a weights file."""
    return weights.with_suffix(".onnx")


def int8_path(weights: Path) -> Path:
    """Return the path of the quantised export of a weights file."""
    return weights.with_suffix(".int8.onnx")


def quantised_network(checkpoint: Checkpoint, path: Path) -> OnnxNetwork:
    """Return the quantised export at `path`. Raises `UserError` if it is missing or was made from other weights."""
    check_packages()
    network = check_place(path)
    kept = {} if network is None else {key: network.metadata.get(key) for key in ("parity", INT8)}
    if network is None or network.metadata != {**_facts(checkpoint), **kept}:
        raise UserError(f"--backend int8: no {path} of these weights; export_model.py --int8 writes it")
    return network


def kept_network(checkpoint: Checkpoint, path: Path, frames: Callable[[], Sequence[np.ndarray]]) -> OnnxNetwork:
    """Return the export at `path`. Export the model if the file is missing or was made from other weights.

    Raises `UserError` if packages are missing, this project did not write `path`, or the export disagrees with PyTorch.
    An export that cannot be written to `path` is used nevertheless; a note is printed.
    """
    check_packages()
    network = check_place(path)
    if network is not None and network.metadata == {**_facts(checkpoint), "parity": network.metadata["parity"]}:
        return network
    print(f"Exporting the model for ONNX Runtime -> {path}", flush=True)
    graph = export(checkpoint, frames())
    try:
        write_bytes(path, graph)
    except UserError as error:
        print(f"Note: the export is made again next time ({error})")
    return OnnxNetwork(graph)


def check_packages() -> None:
    missing = missing_packages()
    if missing:
        raise UserError(f"ONNX Runtime needs {', '.join(missing)}: pip install {' '.join(missing)}")


def check_place(path: Path) -> OnnxNetwork | None:
    """Return the export at `path`, of any weights, or None. Raises `UserError` for other files: they are kept."""
    if not path.exists():
        return None
    try:
        network = OnnxNetwork(path)
    except Exception as error:  # ONNX Runtime raises exceptions of its own
        raise UserError(f"{path} is no ONNX file that can be loaded; move it away ({type(error).__name__})") from error
    if "parity" not in network.metadata:
        raise UserError(f"{path} was not written by this project; move it away")
    return network


def _facts(checkpoint: Checkpoint) -> dict:
    """Return the metadata without the result of the check."""
    return {
        "contract": _CONTRACT,
        "weights_sha256": checkpoint.sha256,
        "input": "frames: (N, 3, height, width) uint8, RGB, 0-255; the graph normalises them with mean and std",
        "image_size": list(checkpoint.image_size),
        "view": checkpoint.view,
        "crop": "view auto: crop frames to the field of view of their video before resizing; outside is background",
        "resize": "bilinear with antialiasing (Pillow's BILINEAR, torch's antialias=True; not OpenCV's resize)",
        "mean": list(checkpoint.mean),
        "std": list(checkpoint.std),
        "output": "probability: (N, classes, height, width) float32, softmax; upsample it bilinearly to the frame",
        "classes": checkpoint.scheme.names,
        "instrument_ids": checkpoint.scheme.instrument_ids,
        "threshold": checkpoint.threshold,
        "mask": "instrument where the instruments' probabilities sum to the threshold; null: most probable class",
    }


def export(checkpoint: Checkpoint, frames: Sequence[np.ndarray]) -> bytes:
    """Return the bytes of an ONNX file, checked on (H, W, 3) uint8 RGB frames. Raises `UserError` if it disagrees."""
    program = _trace(checkpoint)
    parity = check(checkpoint, OnnxNetwork(program.model_proto.SerializeToString()), frames)
    if not parity.agrees:
        raise UserError(f"the ONNX export disagrees with PyTorch ({parity}); nothing is kept, use --backend torch")
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # they hold stack traces with paths of this machine
    program.model.metadata_props[METADATA] = json.dumps({**_facts(checkpoint), "parity": asdict(parity)})
    return program.model_proto.SerializeToString()


def _trace(checkpoint: Checkpoint):
    graph = _Graph(checkpoint).eval()
    example = torch.zeros((2, 3, *checkpoint.image_size), dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=4096)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            return torch.onnx.export(
                graph,
                (example,),
                dynamo=True,
                verbose=False,
                input_names=["frames"],
                output_names=["probability"],
                dynamic_shapes=({0: batch},),
            )
        except Exception as error:  # the exporter raises many kinds
            raise UserError(f"this model cannot be exported to ONNX ({type(error).__name__}: {error})") from error


@torch.inference_mode()
def check(checkpoint: Checkpoint, network: OnnxNetwork, frames: Sequence[np.ndarray]) -> Parity:
    """Compare both backends on the same frames: probabilities at the model's size, masks at the frames' size."""
    reference = TorchNetwork(checkpoint, torch.device("cpu"), "float32")
    predictors = [Predictor(checkpoint, reference.device, network=each) for each in (reference, network)]
    differences, agreements = [], []
    for frame in frames:
        native = torch.from_numpy(np.require(frame, requirements="CW")).permute(2, 0, 1)[None]
        resized = resize_frames(native, checkpoint.image_size)
        differences.append(float((reference(resized) - network(resized)).abs().max()))
        masks = [predictor.predict(frame[None]).ids for predictor in predictors]
        agreements.append(float((masks[0] == masks[1]).mean()))
    return Parity(len(frames), max(differences), float(np.mean(agreements)))


def side_by_side(
    checkpoint: Checkpoint, networks: dict[str, OnnxNetwork], frame: np.ndarray, repeats: int
) -> dict[str, float]:
    """Return the median milliseconds from a frame in memory to its mask, also of PyTorch. The backends take turns."""
    cpu = torch.device("cpu")
    pytorch = {f"torch {precision}": TorchNetwork(checkpoint, cpu, precision) for precision in ("float32", "bf16")}
    predictors = {
        name: Predictor(checkpoint, cpu, network=network) for name, network in {**pytorch, **networks}.items()
    }
    milliseconds = {name: [] for name in predictors}
    for turn in range(repeats + 1):
        for name, predictor in predictors.items():
            start = time.perf_counter()
            predictor.predict(frame[None])
            if turn:  # turn 0 warms up
                milliseconds[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in milliseconds.items()}
