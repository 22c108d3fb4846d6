"""A GPU for machines without one: fake tensors on `cuda:0`, which have shapes, dtypes and devices but no data."""

from __future__ import annotations

import contextlib
from collections import Counter

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from models import build_model

CUDA = torch.device("cuda", 0)


@contextlib.contextmanager
def fake_gpu(capability=(8, 0)):
    """Inside, `CUDA` is a GPU of this compute capability.

    Gradients are zeros and no graph is made: torch's engine asks for a real GPU, also to free a graph.
    """
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with pytest.MonkeyPatch.context() as patch, fake, torch.no_grad():
        patch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda *given: capability >= (8, 0))
        patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        patch.setattr(nn.Module, "to", _move)
        patch.setattr(torch.Tensor, "backward", _no_backward)
        yield


def _move(module: nn.Module, device: torch.device, memory_format=torch.preserve_format) -> nn.Module:
    for part in module.modules():
        for values in (part._parameters, part._buffers):
            for name, value in values.items():
                if value is not None:
                    form = memory_format if value.ndim == 4 else torch.preserve_format
                    moved = torch.empty_like(value, device=device, memory_format=form)
                    values[name] = nn.Parameter(moved) if isinstance(value, nn.Parameter) else moved
    return module


def _no_backward(loss: torch.Tensor) -> None:
    assert loss.dtype == torch.float32
    for parameter in _no_backward.parameters:
        parameter.grad = torch.zeros_like(parameter)


def model_without_data(arch: str, **model_args) -> nn.Module:
    with torch.device("meta"):
        return build_model(arch, 2, **model_args)


def give_gradients_to(model: nn.Module) -> None:
    """Let the next backward passes inside `fake_gpu` give these parameters gradients."""
    _no_backward.parameters = list(model.parameters())


class Kernels(TorchDispatchMode):
    """Counts what a GPU would launch: operations that are no views, and the bytes that they read and write."""

    def __init__(self):
        super().__init__()
        self.calls, self.bytes, self.seen = Counter(), 0, []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
        view = any(given.alias_info and not given.alias_info.is_write for given in operation._schema.returns)
        if tensors and not view and operation.namespace == "aten":
            name = operation._schema.name.removeprefix("aten::")
            self.calls[name] += 1
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
            self.seen.append((name, [(tensor.device, tensor.dtype, tensor.ndim) for tensor in tensors]))
        return result

    def dtypes(self, name: str) -> set[torch.dtype]:
        """The dtypes of the tensors with data for each frame that an operation reads and writes."""
        return {dtype for called, tensors in self.seen if called == name for _, dtype, ndim in tensors if ndim == 4}
