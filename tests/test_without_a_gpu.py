"""What a GPU would compute: shapes on `meta`, dtypes and devices on fake tensors, kernels and bytes counted."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models import ARCHITECTURES, build_model
from surgseg import predict
from surgseg.checkpoint import Checkpoint
from surgseg.labels import SCHEMES
from surgseg.predict import Pending, Predictor
from surgseg.training import loop
from surgseg.training.distributed import Processes
from surgseg.training.feed import Batch
from surgseg.training.loop import Trainer
from tests.configs import resolved
from tests.fake_gpu import CUDA, Kernels, fake_gpu, give_gradients_to, model_without_data

SIZE = (64, 96)
of_new_torch = pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 14),
    reason="older versions of torch ask for a driver, and count other kernels",
)
CACHE = SimpleNamespace(
    names=[f"frame{number}" for number in range(8)],
    frames=np.zeros((8, *SIZE, 3), np.uint8),
    masks=np.zeros((8, *SIZE), np.uint8),
)


def meta_trainer(arch, model=None):
    model = model or build_model(arch, 2)
    meta = torch.device("meta")
    trainer = Trainer(model, CACHE, SCHEMES["binary"], meta, resolved(), architecture=ARCHITECTURES[arch])
    trainer.start_epoch(1)
    return trainer, next(trainer.feed.stream([np.arange(4)]))


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_training_step_of_every_architecture_fits_together_without_data(arch):
    trainer, batch = meta_trainer(arch)
    loss = trainer.train_step([batch], 4)
    assert loss.shape == () and loss.device.type == "meta" and trainer.step_count == 1
    assert all(parameter.grad is not None for parameter in trainer.model.parameters())


def check_cost(kernels, count, megabytes):
    """Speed must not be lost: at most a tenth more kernels and bytes than measured when this was written."""
    assert sum(kernels.calls.values()) < 1.1 * count
    assert kernels.bytes / 1e6 < 1.1 * megabytes


@of_new_torch
@pytest.mark.parametrize(("arch", "count", "megabytes"), [("unet", 534, 1109), ("deeplabv3", 955, 1536)])
def test_forward_and_backward_pass_need_no_more_kernels_and_bytes(arch, count, megabytes):
    trainer, batch = meta_trainer(arch, model_without_data(arch))
    with Kernels() as kernels:
        trainer.losses(batch).sum().backward()
    check_cost(kernels, count, megabytes)


def fake_trainer(arch, precision):
    model, config = model_without_data(arch), resolved(precision=precision)
    record = ARCHITECTURES[arch]
    trainer = Trainer(model, CACHE, SCHEMES["binary"], CUDA, config, architecture=record)
    give_gradients_to(trainer.model)
    return trainer


def fake_batch():
    frames = torch.empty(4, *SIZE, 3, dtype=torch.uint8, device=CUDA).permute(0, 3, 1, 2)
    return Batch(torch.arange(4, device=CUDA), frames, torch.empty(4, *SIZE, dtype=torch.uint8, device=CUDA))


@of_new_torch
@pytest.mark.parametrize(
    ("arch", "precision", "count", "megabytes"),
    [
        ("unet", "float32", 500, 1010),
        ("unet", "bf16", 548, 930),
        ("unet", "fp16", 541, 999),
        ("deeplabv3", "bf16", 974, 1914),
    ],
)
def test_a_training_step_computes_on_the_gpu_and_in_its_precision(arch, precision, count, megabytes, monkeypatch):
    monkeypatch.setattr("surgseg.training.feed._fits", lambda cache, device: False)
    expected = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    with fake_gpu():
        trainer = fake_trainer(arch, precision)
        trainer.start_epoch(1)
        trainer.train_step([fake_batch()], 4)  # the optimizer makes its state
        with Kernels() as kernels:
            loss = trainer.train_step([fake_batch()], 4)
        assert loss.device == CUDA and loss.dtype == torch.float32
        assert {parameter.dtype for parameter in trainer.model.parameters()} == {torch.float32}
    convolved = [tensors for name, tensors in kernels.seen if name == "convolution" and tensors[0][1] != torch.float32]
    assert (convolved == []) == (precision == "float32")
    if arch == "unet":
        assert kernels.dtypes("cat") == kernels.dtypes("max_pool2d_with_indices") - {torch.int64} == {expected}
    assert kernels.calls["_fused_adamw_"] == 2, "one for the backbone, one for the rest"
    on_cpu = {name for name, tensors in kernels.seen if {d.type for d, _, n in tensors if n} == {"cpu", "cuda"}}
    assert on_cpu <= {"_to_copy"}, "no operation but a copy mixes devices"
    assert "_local_scalar_dense" not in kernels.calls, "a step does not wait for a value"
    check_cost(kernels, count, megabytes)  # without the backward pass


@pytest.mark.parametrize("shared", [True, False])
def test_batch_statistics_are_shared_only_where_that_is_chosen(monkeypatch, shared):
    monkeypatch.setattr(loop, "shares_statistics", lambda processes, device, batch_size: shared)
    model = build_model("deeplabv3", 2)
    record, two = ARCHITECTURES["deeplabv3"], Processes(0, 0, 2)
    cpu = torch.device("cpu")
    trainer = Trainer(model, CACHE, SCHEMES["binary"], cpu, resolved(), architecture=record, processes=two)
    kinds = {type(module).__name__ for module in trainer.model.modules() if "BatchNorm" in type(module).__name__}
    assert kinds == {"SyncBatchNorm" if shared else "BatchNorm2d"}
    assert trainer.least == (2 if shared else 4)


@of_new_torch
@pytest.mark.parametrize("scheme", ["binary", "grasper-hook"])
@pytest.mark.parametrize(("capability", "dtype"), [((8, 0), torch.bfloat16), ((7, 5), torch.float16)])
def test_a_prediction_computes_on_the_gpu_and_in_its_precision(scheme, capability, dtype, monkeypatch):
    monkeypatch.setattr(predict, "_ids_on", predict._ids_on.__wrapped__)  # its cache would keep fake tensors
    with fake_gpu(capability):
        model = model_without_data("unet", base_channels=4)
        checkpoint = Checkpoint(model, "unet", {"base_channels": 4}, SCHEMES[scheme], SIZE, threshold=0.5)
        predictor = Predictor(checkpoint, CUDA, keep_probability=True)
        with Kernels() as kernels:
            fields = predictor._predict([torch.empty(3, 3, 120, 160, dtype=torch.uint8, device=CUDA)])
        assert [field.dtype for field in fields] == [torch.uint8, torch.float64, torch.uint8]
        assert [tuple(field.shape) for field in fields] == [(3, 120, 160), (3, 3), (3, 120, 160)]
        assert {field.device for field in fields} == {CUDA}
    assert kernels.dtypes("cat") - {torch.uint8} == {dtype}


def test_a_batch_waits_for_the_stream_of_its_device(monkeypatch):
    asked = []

    class Event:
        def __init__(self, blocking):
            assert blocking

        def record(self, stream):
            asked.append(stream)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"stream of {device}")
    monkeypatch.setattr("surgseg.predict._copy_back", lambda field: torch.zeros(field.shape))
    with fake_gpu():
        fields = [torch.empty(2, 3, device=CUDA)]
    Pending(fields)
    assert asked == ["stream of cuda:0"]
