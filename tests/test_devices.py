"""GPUs that the installed torch can and cannot use, and their precision. No GPU is needed."""

import subprocess
from types import SimpleNamespace

import pytest
import torch

from surgseg import console, devices
from surgseg.devices import best_precision, check_precision, missing_code, out_of_memory, usable_precision
from surgseg.files import UserError
from surgseg.launch import Launch

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
CUDA_13 = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]
CUDA_12_6 = ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"]


def use_gpu(monkeypatch, capability, built, count=1):
    monkeypatch.setattr(torch.version, "hip", None)
    for name, value in {
        "is_available": True, "device_count": count, "get_device_capability": capability, "get_arch_list": built,
        "get_device_name": "A card",
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, lambda *given, value=value: value)


@pytest.mark.parametrize(
    ("capability", "built", "runs"),
    [
        ((7, 0), CUDA_13, False),  # V100
        ((6, 0), CUDA_13, False),  # P100
        ((6, 1), CUDA_13, False),  # GTX 10
        ((7, 5), CUDA_13, True),  # T4
        ((8, 9), CUDA_13, True),  # by the code for 8.6
        ((10, 3), CUDA_13, True),  # by the code for 10.0
        ((12, 1), CUDA_13, True),
        ((11, 0), CUDA_13, False),  # no code, and PTX for later ones only
        ((13, 0), CUDA_13, True),  # by PTX
        ((7, 0), CUDA_12_6, True),
        ((6, 1), CUDA_12_6, True),
        ((7, 2), CUDA_12_6, True),
        ((12, 0), CUDA_12_6, False),  # too new, no PTX
        ((8, 0), ["sm_86"], False),  # code for a later minor version
        ((9, 0), ["sm_90a"], True),
        ((9, 1), ["sm_90a"], False),  # "a" is for one capability alone
        ((10, 3), ["sm_100f"], True),  # "f" is for its major version
        ((12, 0), ["compute_100f"], False),
        ((7, 0), [], True),  # a build that does not say
    ],
)
def test_a_gpu_runs_code_of_its_own_major_version_or_older_ptx(monkeypatch, capability, built, runs):
    use_gpu(monkeypatch, capability, built)
    assert (missing_code(CUDA) == "") == runs


def test_what_to_install_depends_on_the_age_of_the_gpu(monkeypatch):
    use_gpu(monkeypatch, (7, 0), CUDA_13)
    text = missing_code(CUDA)
    assert "A card (compute capability 7.0)" in text and "CUDA 12.6" in text and "sm_75" in text
    use_gpu(monkeypatch, (12, 0), CUDA_12_6)
    assert "a newer PyTorch" in missing_code(CUDA)
    monkeypatch.setattr(torch.version, "hip", "6.0")
    assert missing_code(CUDA) == ""


def test_auto_takes_the_cpu_with_a_warning_and_cuda_is_refused(monkeypatch, capsys):
    use_gpu(monkeypatch, (7, 0), CUDA_13)
    assert console.resolve_device("auto") == CPU
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("WARNING: computing on the CPU: A card (compute capability 7.0) cannot run")
    with pytest.raises(UserError, match=r"--device cuda: A card .* CUDA 12.6.* or use --device cpu"):
        console.resolve_device("cuda")
    monkeypatch.setattr(console, "launched", lambda: Launch(0, 0, 2, True))
    with pytest.raises(UserError, match="--device auto: A card"):  # the other process may have a usable one
        console.resolve_device("auto")
    assert console.resolve_device("cpu") == CPU and capsys.readouterr().err == ""


def test_a_gpu_with_code_is_used_without_a_word(monkeypatch, capsys):
    use_gpu(monkeypatch, (8, 0), CUDA_13)
    assert console.resolve_device("auto") == console.resolve_device("cuda") == torch.device("cuda")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(console, "launched", lambda: Launch(1, 1, 2, True))
    with pytest.raises(UserError, match="more processes than GPUs"):
        console.resolve_device("auto")


@pytest.mark.parametrize(
    ("listed", "cuda", "hidden", "words"),
    [
        ("Tesla T4, 470.82.01\n", "13.0", None, "Tesla T4 with driver 470.82.01; install a driver for CUDA 13.0"),
        ("Tesla T4, 470.82.01\n", None, None, "cannot use Tesla T4; install its build for CUDA"),
        ("Tesla T4, 470.82.01\n", "13.0", "", ""),
        ("Tesla T4, 470.82.01\n", "13.0", "-1", ""),
        ("Tesla T4, 470.82.01\n", "13.0", "0", "install a driver"),
        ("No devices were found\n", "13.0", None, ""),
        ("", "13.0", None, ""),
        (FileNotFoundError(), "13.0", None, ""),
        (subprocess.CalledProcessError(9, "nvidia-smi"), "13.0", None, ""),
    ],
)
def test_a_gpu_that_nvidia_lists_and_torch_cannot_use_is_named(monkeypatch, capsys, listed, cuda, hidden, words):
    def run(command, **options):
        if isinstance(listed, Exception):
            raise listed
        return SimpleNamespace(stdout=listed)

    monkeypatch.setattr(devices.subprocess, "run", run)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert console.resolve_device("auto").type in ("cpu", "mps")
    said = capsys.readouterr().err
    assert words in said and (said == "") == (words == "")
    with pytest.raises(UserError, match=words or "no such device"):
        console.resolve_device("cuda")


@pytest.mark.parametrize(("capability", "expected"), [((6, 0), "fp16"), ((7, 5), "fp16"), ((8, 0), "bf16")])
def test_half_precision_is_fp16_before_ampere(monkeypatch, capability, expected):
    use_gpu(monkeypatch, capability, CUDA_12_6)
    assert best_precision(CUDA) == expected and best_precision(CPU) == "float32"
    check_precision(CUDA, "fp16")
    if expected == "fp16":
        with pytest.raises(UserError, match="--precision bf16: this GPU does not compute in bf16"):
            check_precision(CUDA, "bf16")
    else:
        check_precision(CUDA, "bf16")
    check_precision(CPU, "bf16")
    with pytest.raises(UserError, match="--precision fp16 needs"):
        check_precision(CPU, "fp16")


def test_a_run_that_began_elsewhere_goes_on_in_what_this_device_computes(monkeypatch, capsys):
    use_gpu(monkeypatch, (7, 5), CUDA_13)
    assert usable_precision(CUDA, "float32") == "float32" and capsys.readouterr().out == ""
    assert usable_precision(CUDA, "bf16") == "fp16" and usable_precision(CPU, "fp16") == "float32"
    assert "The run began in bf16, and goes on in fp16" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB", True),
        ("GET was unable to find an engine to execute this computation", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", True),
        ("CUDA error: an illegal memory access was encountered", False),
    ],
)
def test_libraries_without_memory_are_out_of_memory(text, full):
    assert out_of_memory(RuntimeError(text)) is full
