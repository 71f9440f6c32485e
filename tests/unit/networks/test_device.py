"""Where networks run: what is asked for, what is seen, what follows."""

import runpy
from dataclasses import replace
from pathlib import Path

import pynvml
import pytest
import torch
import yaml

from overtile.errors import InputError
from overtile.networks import device as module
from overtile.networks import gpu_policy
from overtile.networks.device import WORKER, Device, choose_device, say_device
from overtile.networks.gpu_policy import GpuStatus, gpu_status, resolve

ROOT = Path(__file__).resolve().parents[3]

LAPTOP = GpuStatus("2.13.0", None, gpus=0, has_gpu=False, visible=None, is_given=False)
CUDA_BUILD = replace(LAPTOP, cuda="12.9")
GPU = replace(CUDA_BUILD, gpus=2, has_gpu=True)
LOGIN_NODE_BUILD = replace(LAPTOP, has_gpu=True)
OLD_DRIVER = replace(CUDA_BUILD, has_gpu=True)


@pytest.mark.parametrize(
    ("asked", "seen", "found"),
    [
        ("cpu", GPU, "cpu"),
        ("cpu", LOGIN_NODE_BUILD, "cpu"),
        ("cpu", replace(LOGIN_NODE_BUILD, is_given=True), "cpu"),
        ("cuda", GPU, "cuda"),
        ("auto", GPU, "cuda"),
        ("auto", replace(GPU, visible="1,0"), "cuda"),
        ("auto", LAPTOP, "cpu"),
        ("auto", CUDA_BUILD, "cpu"),
        ("auto", replace(OLD_DRIVER, visible=""), "cpu"),
        ("auto", replace(LOGIN_NODE_BUILD, visible="-1"), "cpu"),
        ("auto", replace(CUDA_BUILD, visible="NoDevFiles"), "cpu"),
    ],
)
def test_what_is_asked_for_and_seen_says_where_to_run(asked, seen, found):
    assert resolve(asked, seen) == found


@pytest.mark.parametrize(
    ("asked", "seen", "words"),
    [
        ("cuda", LAPTOP, ["cuda was asked for", "build without CUDA", "login node", "gpu.yaml"]),
        ("cuda", LOGIN_NODE_BUILD, ["build without CUDA", "login node", "CONDA_OVERRIDE_CUDA"]),
        ("cuda", CUDA_BUILD, ["sees none on this machine", "nvidia-smi"]),
        ("cuda", OLD_DRIVER, ["CUDA 12.9", "driver may be too old", "nvidia-smi"]),
        ("cuda", replace(OLD_DRIVER, visible=""), ["CUDA_VISIBLE_DEVICES=''", "unset it"]),
        ("cuda", replace(OLD_DRIVER, visible="7"), ["CUDA_VISIBLE_DEVICES='7'", "nvidia-smi"]),
        ("auto", LOGIN_NODE_BUILD, ["this machine has an NVIDIA GPU", "login node"]),
        ("auto", OLD_DRIVER, ["this machine has an NVIDIA GPU", "driver may be too old"]),
        ("auto", replace(OLD_DRIVER, visible="7"), ["this machine has", "='7'"]),
        ("auto", replace(OLD_DRIVER, visible="NoDevFiles"), ["this machine has", "--gpus=1"]),
        ("auto", replace(OLD_DRIVER, visible="none"), ["this machine has", "='none' names no GPU"]),
        ("auto", replace(OLD_DRIVER, visible="all"), ["this machine has", "='all' names no GPU"]),
        ("auto", replace(OLD_DRIVER, visible="gpu0"), ["this machine has", "='gpu0' names no GPU"]),
        ("auto", replace(LOGIN_NODE_BUILD, visible="none"), ["this machine has", "login node"]),
        ("auto", replace(LAPTOP, is_given=True), ["SLURM gave this job a GPU", "login node"]),
        ("auto", replace(CUDA_BUILD, visible="0", is_given=True), ["SLURM gave", "='0'"]),
        ("auto", replace(LAPTOP, visible="0"), ["CUDA_VISIBLE_DEVICES='0' names", "login node"]),
        ("auto", replace(CUDA_BUILD, visible="GPU-1"), ["='GPU-1' names", "nvidia-smi"]),
        ("auto", replace(CUDA_BUILD, visible="MIG-1,x"), ["='MIG-1,x' names", "nvidia-smi"]),
    ],
)
def test_a_gpu_that_torch_cannot_use_is_an_error_that_names_cause_and_cure(asked, seen, words):
    with pytest.raises(InputError) as error:
        resolve(asked, seen)
    message = str(error.value)
    assert all(word in message for word in [*words, "cpu"]), message
    assert "\n" not in message


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Make torch, the machine and the job say other things; GPU locks go into a folder aside."""
    monkeypatch.setenv("OVERTILE_GPU_LOCKS", str(tmp_path / "locks"))
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS", "SLURM_STEP_GPUS", WORKER):
        monkeypatch.delenv(name, raising=False)

    def make(cuda: str | None = None, gpus: int = 0, has_gpu: bool = False, **variables: str):
        names = [f"GPU-{tmp_path}-{number}" for number in range(gpus)]
        monkeypatch.setattr(torch.version, "cuda", cuda)
        monkeypatch.setattr(torch.version, "hip", None)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "set_device", lambda number: None)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"card {number}")
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **how: gpus > 0)
        monkeypatch.setattr(gpu_policy, "has_nvidia_gpu", lambda: has_gpu)
        monkeypatch.setattr(module, "gpu_names", lambda: names)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return make


def test_torch_the_machine_and_the_job_are_looked_at(machine):
    machine("12.9", gpus=2, CUDA_VISIBLE_DEVICES="0,1")
    assert gpu_status() == GpuStatus(torch.__version__, "12.9", 2, True, "0,1", False)
    machine(None, has_gpu=True, CUDA_VISIBLE_DEVICES="", SLURM_JOB_GPUS="3")
    assert gpu_status() == GpuStatus(torch.__version__, None, 0, True, "", True)


@pytest.mark.parametrize("asked", ["auto", "cuda"])
def test_a_build_from_the_login_node_stops_a_machine_with_gpu_at_once(machine, asked):
    machine(None, has_gpu=True)
    with pytest.raises(InputError, match="login node"):
        choose_device(asked, "auto", 1)


def test_a_machine_without_gpu_runs_on_the_processor_and_says_so(machine, capsys):
    machine("12.9")
    say_device(choose_device("auto", "fp32", 1), "auto")
    said = capsys.readouterr().err
    assert said == (
        "network: on the processor, because no GPU is seen "
        "(with --device cuda this is an error), in fp32\n"
    )


def test_a_gpu_is_used_and_named(machine, capsys):
    machine("12.9", gpus=2)
    chosen = choose_device("auto", "auto", 1)
    assert (chosen.torch, chosen.precision) == (torch.device("cuda", 0), "bf16")
    say_device(chosen, "auto")
    assert capsys.readouterr().err == "network: on GPU 0 (card 0), in bf16\n"
    assert chosen.here() == chosen


def test_arithmetic_is_that_of_the_gpu_that_is_claimed(machine, monkeypatch):
    machine("12.9", gpus=2)
    used = [0]
    monkeypatch.setattr(torch.cuda, "set_device", lambda number: used.append(number))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **how: used[-1] == 1)
    monkeypatch.setattr(module, "claim", lambda names, count: (1,))
    assert choose_device("cuda", "auto", 1).precision == "bf16"
    monkeypatch.setattr(module, "claim", lambda names, count: (0,))
    assert choose_device("cuda", "auto", 1).precision == "fp32"


def test_who_chooses_looks_once(machine, monkeypatch):
    machine("12.9", gpus=1)
    looks = []
    monkeypatch.setattr(module, "gpu_status", lambda: looks.append(1) or gpu_status())
    assert choose_device("auto", "fp32", 1).here().gpus == (0,)
    assert len(looks) == 1


def test_workers_of_one_machine_take_the_gpus_of_their_run_in_turn(machine, monkeypatch):
    machine("12.9", gpus=3)
    chosen = choose_device("cuda", "fp32", 1, processes=2)
    assert chosen.gpus == (0, 1)
    monkeypatch.setattr(module.os, "getpid", lambda: -1)  # as in the process of a worker
    numbers = []
    for turn in range(4):
        monkeypatch.setenv(WORKER, str(turn))
        numbers.append(chosen.here().torch.index)
    assert numbers == [0, 1, 0, 1]


def test_a_run_whose_workers_are_jobs_elsewhere_claims_nothing_but_they_do(machine, monkeypatch):
    machine()  # a login node
    chosen = choose_device("cuda", "bf16", 1, processes=0)
    assert (chosen.torch.type, chosen.gpus) == ("cuda", ())
    assert chosen.here().torch.type == "cpu"
    monkeypatch.setattr(module.socket, "gethostname", lambda: "another machine")
    with pytest.raises(InputError, match="login node"):
        chosen.here()
    machine("12.9", gpus=1)
    there = chosen.here()
    assert (there.torch, there.gpus) == (torch.device("cuda", 0), (0,))


def test_networks_on_other_machines_need_a_device_by_name(machine):
    for seen in ({}, {"cuda": "12.9", "gpus": 1}):
        machine(**seen)
        with pytest.raises(InputError, match="--device: is auto, .*allowed: cuda or cpu"):
            choose_device("auto", "fp32", 1, processes=0)


def test_a_device_travels_to_workers_as_it_is():
    import pickle

    device = Device(torch.device("cuda", 1), "bf16", 4, (1, 2))
    assert pickle.loads(pickle.dumps(device)) == device  # noqa: S301


@pytest.mark.parametrize(
    ("kernel_lists", "nvml_counts", "found"),
    [
        (["0000:01:00.0"], None, True),  # a job that may use no GPU, or a container without driver
        ([], 1, True),  # Windows' Linux
        ([], 0, False),
        ([], None, False),
    ],
)
def test_a_gpu_is_there_if_the_kernel_or_nvidias_library_lists_one(
    kernel_lists, nvml_counts, found, tmp_path, monkeypatch
):
    for name in kernel_lists:
        (tmp_path / name).mkdir()
    running = []

    def init():
        if nvml_counts is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
        running.append("nvml")

    nvml = {"nvmlInit": init, "nvmlShutdown": running.pop}
    nvml["nvmlDeviceGetCount"] = lambda: nvml_counts if running else None
    for name, function in nvml.items():
        monkeypatch.setattr(pynvml, name, function)
    monkeypatch.setattr(gpu_policy, "KERNEL_LIST", tmp_path)
    assert gpu_policy.has_nvidia_gpu() == found
    assert not running


@pytest.mark.parametrize("step", ["predict", "train"])
def test_flags_and_settings_allow_the_same_devices(step):
    build_parser = runpy.run_path(str(ROOT / "scripts" / f"{step}.py"))["build_parser"]
    flags = {action.dest: action for action in build_parser()._actions}
    schema = yaml.safe_load((ROOT / "workflow" / "schemas" / "config.schema.yaml").read_text())
    for name in ("device", "precision"):
        setting = schema["properties"][name]
        assert sorted(flags[name].choices) == sorted(setting["enum"])
        assert flags[name].default == setting["default"] == "auto"
