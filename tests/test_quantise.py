"""The int8 export: calibrated on real frames, compared with float32 and ground truth, refused where it costs much."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import export_model
from models import ARCHITECTURES, Architecture, build_model
from surgseg import onnx as module
from surgseg.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from surgseg.files import UserError
from surgseg.labels import SCHEMES
from surgseg.onnx import INT8, OnnxNetwork, choose_network, export, int8_path, onnx_path
from surgseg.predict import Predictor
from surgseg.quantise import LEAST, Cost, RealFrames, measure_cost, prepared_frames, quantise
from tests.helpers import noise_frame

pytestmark = pytest.mark.skipif(bool(module.missing_packages()), reason="the packages for ONNX are not installed")
CPU = torch.device("cpu")
SIZE = (48, 64)


@pytest.fixture(scope="module", autouse=True)
def bright():
    """An architecture whose masks are known, and that is exported in a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, "bright", Architecture("tests.networks:Bright", "Bright", "#000000"))
        yield


def save_weights(path, split=None, arch="bright", **model_args):
    torch.manual_seed(0)
    model = build_model(arch, 2, **model_args)
    training = {"data": "real", "split": split} if split else {"data": "real"}
    facts = {"temperature": 4.0, "training": training}
    save_checkpoint(path, Checkpoint(model, arch, model_args, SCHEMES["binary"], SIZE, **facts))
    return path


@pytest.fixture(scope="module")
def folder(make_prepared, tmp_path_factory):
    """Two videos of 17 bright bars each, and weights that were trained on the first. Not to be changed."""
    root = make_prepared(tmp_path_factory.mktemp("int8") / "data", {"one": "train", "two": "test"}, frames=17)
    save_weights(root / "w.pth", {"name": "manifest", "by": "video", "assignment": {"one": "train", "two": "test"}})
    return root


@pytest.fixture(scope="module")
def exported(folder, tmp_path_factory):
    """(checkpoint, float32 export). Not to be changed."""
    checkpoint = load_checkpoint(folder / "w.pth")
    return checkpoint, export(checkpoint, [noise_frame(0, SIZE)])


def dark(frames):
    """Frames that reach a fifth of the brightness."""
    return [frame // 5 for frame in frames]


def test_the_training_part_calibrates_and_the_test_part_is_compared(folder):
    checkpoint = load_checkpoint(folder / "w.pth")
    real = prepared_frames(folder, checkpoint)
    assert (len(real.calibration), len(list(real.pairs))) == (17, 17)
    assert real.calibration[0].shape == (1, 3, *SIZE) and real.calibration[0].dtype == np.uint8
    checkpoint.training = {}
    real, again = prepared_frames(folder, checkpoint), prepared_frames(folder, checkpoint)
    shapes = [(frame.shape, mask.shape) for frame, mask in real.pairs]
    assert (len(real.calibration), len(shapes)) == (17, 17) and shapes[0] == ((*SIZE, 3), SIZE), "every other frame"
    held = {frame.tobytes() for frame, _ in again.pairs}
    assert not held & {frame.transpose(0, 2, 3, 1)[0].tobytes() for frame in again.calibration}


def test_the_file_has_int8_weights_and_the_metadata_of_the_export(folder, exported):
    import onnx

    checkpoint, graph = exported
    found, cost = quantise(checkpoint, graph, prepared_frames(folder, checkpoint), 0.005)
    assert cost.frames == 17 and cost.agreement > 0.99 and cost.float32 > 0.99 and abs(cost.fall) < 0.005
    model, network = onnx.load_from_string(found), OnnxNetwork(found)
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    weights = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    first, middle, last = (weights.get(node.input[1]) for node in convolutions)
    assert first == last == onnx.TensorProto.FLOAT and middle is None, "the middle one reads dequantised integers"
    assert onnx.TensorProto.INT8 in weights.values()
    own = {"parity", INT8}
    float32 = OnnxNetwork(graph).metadata
    assert {**network.metadata, **dict.fromkeys(own)} == {**float32, **dict.fromkeys(own)}
    assert network.metadata[INT8]["calibrated_on"] == 17 and network.metadata[INT8]["int8"] == cost.int8
    assert network.metadata["parity"] != float32["parity"] and network.describe()["precision"] == "int8"
    assert network.parity.largest_difference < 0.1


def test_calibration_on_other_frames_costs_dice_and_is_refused(folder, exported):
    checkpoint, graph = exported
    real = prepared_frames(folder, checkpoint)
    wrong = RealFrames(dark(real.calibration), list(real.pairs), "")
    with pytest.raises(UserError, match=r"costs 1\.0000 of Dice, more than 0\.005 .*nothing was written.*--max-fall"):
        quantise(checkpoint, graph, wrong, 0.005)
    _, cost = quantise(checkpoint, graph, wrong, 1.0)
    assert cost.int8 < 0.1 < 0.9 < cost.float32 and cost.worst_fall > 0.9 > cost.worst_agreement
    unlabelled = RealFrames(wrong.calibration, [(frame, None) for frame, _ in wrong.pairs], "")
    with pytest.raises(UserError, match="no ground truth"):
        quantise(checkpoint, graph, unlabelled, 0.005)


class Fixed:
    """A network that returns one instrument probability map (H, W) for each frame in turn."""

    def __init__(self, *maps):
        self.maps = iter(maps)

    def __call__(self, frames):
        union = torch.tensor(next(self.maps), dtype=torch.float32)[None]
        return torch.stack([1 - union, union], 1)


def test_the_cost_is_counted_by_hand(exported):
    checkpoint = exported[0]
    ones, half, none = np.ones(SIZE), np.zeros(SIZE), np.zeros(SIZE)
    half[:24] = 1
    truth = [np.ones(SIZE, np.uint8), np.zeros(SIZE, np.uint8)]
    truth[0][24:] = 255  # void: the half that int8 misses
    pairs = [(noise_frame(seed, SIZE), mask) for seed, mask in enumerate(truth)]
    cost = measure_cost(checkpoint, Fixed(ones, none), Fixed(half, none), pairs)
    assert cost == Cost(2, pytest.approx(2 / 3), pytest.approx(2 / 3), 1.0, 1.0, 0.0)
    cost = measure_cost(checkpoint, Fixed(ones, none), Fixed(ones, half), [(frame, None) for frame, _ in pairs])
    assert (cost.agreement, cost.worst_agreement, cost.float32) == (pytest.approx(0.8), 0.0, None)
    assert cost.fall == pytest.approx(0.2)
    with pytest.raises(UserError, match="no instrument is found in the 1 frames"):
        measure_cost(checkpoint, Fixed(none), Fixed(half), pairs[:1])


@pytest.mark.parametrize(
    ("arch", "model_args"),
    [
        ("unet", {"base_channels": 4}),
        pytest.param("lite-unet", {}, marks=pytest.mark.slow),
        pytest.param("deeplabv3", {"aux": False}, marks=pytest.mark.slow),
    ],
)
def test_every_architecture_can_be_quantised(tmp_path, arch, model_args):
    checkpoint = load_checkpoint(save_weights(tmp_path / "w.pth", arch=arch, **model_args))
    frames = [noise_frame(seed, SIZE) for seed in range(LEAST)]
    graph = export(checkpoint, frames[:1])
    real = RealFrames([frame.transpose(2, 0, 1)[None] for frame in frames], [(frames[0], None)], "")
    found, _ = quantise(checkpoint, graph, real, 1.0)
    both = [
        Predictor(checkpoint, CPU, network=OnnxNetwork(each)).probabilities(np.stack(frames)) for each in (graph, found)
    ]
    assert len(found) < 0.6 * len(graph) or arch == "unet"
    assert 0 < float((both[0] - both[1]).abs().mean()) < 0.05


def test_the_script_writes_both_files_and_masks_are_generated_with_int8(folder, tmp_path, capsys):
    path = save_weights(tmp_path / "w.pth")
    given = ["--model-path", str(path), "--int8", "--repeats", "1", "--data-root", str(folder)]
    assert export_model.main(given) == 0
    shown = capsys.readouterr().out
    assert (
        f"17 frames of {folder} to calibrate on, 17 others to compare" in shown and "times as fast as float32" in shown
    )
    assert "against ground truth float32" in shown and "largest fall of a frame" in shown
    assert OnnxNetwork(onnx_path(path)).metadata.keys() == OnnxNetwork(int8_path(path)).metadata.keys() - {INT8}

    def choose(backend, device=CPU, **more):
        return choose_network(load_checkpoint(path), path, device, backend=backend, frames=list, **more)

    assert choose("int8").describe()["precision"] == "int8" and choose("auto").describe()["precision"] == "float32"
    with pytest.raises(UserError, match="--backend int8 computes on the CPU"):
        choose("int8", torch.device("cuda"))
    with pytest.raises(UserError, match="bf16 needs --backend torch"):
        choose("int8", precision="bf16")
    save_weights(path, level=0.5)
    with pytest.raises(UserError, match=r"no .*w\.int8\.onnx of these weights; export_model.py --int8 writes it"):
        choose("int8")
    onnx_path(path).replace(int8_path(path))
    with pytest.raises(UserError, match="--int8 writes it"):
        choose("int8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give --data-root (prepared data) or --frames (a video)"),
        (["--frames", "few"], "--int8: 15 frames to calibrate on, 16 or more are needed"),
        (["--data-root", "nowhere"], "nowhere"),
        (["--data-root", "data", "--max-fall", "-0.5"], "nothing was written"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(folder, tmp_path, capsys, monkeypatch, options, message):
    from surgseg.frames import encode_frame

    monkeypatch.chdir(tmp_path)
    save_weights(tmp_path / "w.pth")
    (tmp_path / "few").mkdir()
    for index in range(30):
        (tmp_path / "few" / f"{index:02d}.png").write_bytes(encode_frame(noise_frame(index, SIZE), ".png"))
    given = [str(folder) if value == "data" else value for value in options]
    assert export_model.main(["--model-path", "w.pth", "--int8", *given]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.glob("*.onnx"))
