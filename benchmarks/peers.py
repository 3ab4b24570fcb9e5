"""Other tools for style transfer: their environments, their commands and their runs.

Each runs as it is, in a virtual environment of its own with PyTorch's CPU build, on this package's
VGG-19 weights, and on pictures in their working size, so that nobody's resizing matters.
"""

import argparse
import dataclasses
import math
import os
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

TORCH = "torch==2.13.0"
STAND_IN = pathlib.Path(__file__).resolve().parent / "torchvision_stand_in"

# PyTorch's places of VGG-19's convolutions.
STATE_DICT = """
import sys, numpy, torch
arrays = numpy.load(sys.argv[1])
places = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
names = sorted({name.rpartition("/")[0] for name in arrays})
state = {}
for place, name in zip(places, names, strict=True):
    kernel = torch.tensor(arrays[name + "/kernel"]).permute(3, 2, 0, 1).contiguous()
    state[f"features.{place}.weight"] = kernel
    state[f"features.{place}.bias"] = torch.tensor(arrays[name + "/bias"])
torch.save(state, sys.argv[2])
"""


@dataclasses.dataclass(frozen=True)
class Job:
    """What a peer is asked to do.

    Attributes:
      environments: The folder of all peers' environments and weights.
      content: The photograph, in its working size.
      style: The painting, in its working size.
      output: The picture to write.
      device: PyTorch's name of the device, or None for the CPU.
      checkout: A folder with the peer's source, for a peer that no index has.
      options: Further options, as the peer spells them.
    """

    environments: pathlib.Path
    content: pathlib.Path
    style: pathlib.Path
    output: pathlib.Path
    device: str | None = None
    checkout: pathlib.Path | None = None
    options: tuple[str, ...] = ()

    @property
    def weights(self) -> pathlib.Path:
        """VGG-19 as PyTorch keeps it; inputs in 0..255, BGR."""
        return self.environments / "vgg19.pth"


@dataclasses.dataclass(frozen=True)
class Peer:
    """Another tool.

    Attributes:
      requirement: What pip installs of it, or its name where it runs from a checkout.
      preset: Our name for its objective.
      step_and_loss: Finds both in a line of its output, the step perhaps empty.
      command: From its environment and a job to what runs, at its defaults but for the sizes.
      packages: What pip installs besides.
    """

    requirement: str
    preset: str
    step_and_loss: str
    command: Callable[[pathlib.Path, Job], list[str]]
    packages: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Without the version."""
        return self.requirement.partition("==")[0]

    @property
    def from_checkout(self) -> bool:
        """Whether no index has it."""
        return "==" not in self.requirement


@dataclasses.dataclass(frozen=True)
class Run:
    """A peer's run.

    Attributes:
      losses: One for each line that told one.
      seconds: From the shell to each of them.
      total: Seconds from the shell to the end.
      command: What ran.
    """

    losses: list[float]
    seconds: list[float]
    total: float
    command: list[str]


def _style_ratio(job: Job) -> str:
    """The longer side of the style over that of the content, at equal areas."""
    return repr(max(_size(job.style)) / max(_size(job.content)))


def _size(path: pathlib.Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def _pastiche(environment: pathlib.Path, job: Job) -> list[str]:
    command = [str(environment / "bin" / "pastiche"), "--size", str(max(_size(job.content)))]
    command += ["-c", str(job.content), "-s", str(job.style), "-o", str(job.output)]
    return command + (["--device", job.device] if job.device else [])


def _neural_style(environment: pathlib.Path, job: Job) -> list[str]:
    command = [str(environment / "bin" / "neural-style"), "-content_image", str(job.content)]
    command += ["-style_image", str(job.style), "-output_image", str(job.output)]
    command += ["-image_size", str(max(_size(job.content))), "-style_scale", _style_ratio(job)]
    command += ["-model_file", str(job.weights), "-disable_check"]
    return [
        *command,
        *("-gpu", "0" if job.device else "c"),
        *("-backend", "cudnn" if job.device else "mkl"),
    ]


def _style_transfer_pytorch(environment: pathlib.Path, job: Job) -> list[str]:
    command = [str(environment / "bin" / "python"), "-m", "style_transfer.cli"]
    command += [str(job.content), str(job.style), "--output", str(job.output)]
    command += ["--end-scale", str(max(_size(job.content))), "--style-scale-fac", _style_ratio(job)]
    return [*command, "--devices", job.device or "cpu"]


PASTICHE = Peer("pastiche==1.6.0", "pastiche", r"^(\d+) +\S+ +([\d.]+)$", _pastiche)
NEURAL_STYLE = Peer(
    "neural-style==0.5.7", "neural-style-pt", r"^()  Total loss: ([\d.e+]+)$", _neural_style
)
STYLE_TRANSFER_PYTORCH = Peer(
    "style-transfer-pytorch",
    "style-transfer-pytorch",
    r"^Size: \d+x\d+, iteration: (\d+), loss: ([\d.e+-]+)$",
    _style_transfer_pytorch,
    packages=("aiohttp", "tifffile", "tqdm"),
)
PEERS = (PASTICHE, NEURAL_STYLE, STYLE_TRANSFER_PYTORCH)


def add_peer_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that say where and on what peers run."""
    parser.add_argument(
        "--peer-folder",
        type=pathlib.Path,
        help="a checkout of github.com/crowsonkb/style-transfer-pytorch, which no index has; "
        "without it that peer is left out",
    )
    parser.add_argument(
        "--device", help="the peers' device, such as cuda; theirs by default is the CPU"
    )


def make_pictures(content: object, style: object, size_px: int, folder: pathlib.Path) -> None:
    """Writes content.png, its longer side `size_px` at most, and style.png of the same area."""
    photograph = Image.open(content).convert("RGB")
    photograph.thumbnail((size_px, size_px), Image.Resampling.LANCZOS)
    photograph.save(folder / "content.png")
    painting = Image.open(style).convert("RGB")
    area = photograph.width * photograph.height
    height = round(math.sqrt(area * painting.height / painting.width))
    width = round(height * painting.width / painting.height)
    painting.resize((width, height), Image.Resampling.LANCZOS).save(folder / "style.png")


def run(peer: Peer, job: Job) -> Run:
    """Runs a peer, made ready where it is not yet.

    Exits the program if the peer fails, or says no loss and writes no picture.
    """
    environment = _make_environment(peer, job)
    command = [*peer.command(environment, job), *job.options]
    variables = {**os.environ, "PYTHONUNBUFFERED": "1", "VGG19_STATE_DICT": str(job.weights)}
    if job.checkout and peer.from_checkout:
        variables["PYTHONPATH"] = str(job.checkout.resolve())
    losses, seconds = [], []
    start = time.time()
    # The output's folder is the working folder: some peers leave a trace there.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=variables, cwd=job.output.parent
    ) as process:
        for line in process.stdout:
            if found := re.match(peer.step_and_loss, line.rstrip("\n")):
                losses.append(float(found[2]))
                seconds.append(time.time() - start)
    if process.returncode or not job.output.exists():
        sys.exit(f"{peer.requirement} failed with exit code {process.returncode}: {command}")
    return Run(losses, seconds, time.time() - start, command)


def _make_environment(peer: Peer, job: Job) -> pathlib.Path:
    """The peer in a virtual environment, with what it needs to run as it is."""
    environment = job.environments / f"{peer.name}-environment"
    ready = environment / "ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
        pip = [environment / "bin" / "pip", "install", "--quiet"]
        subprocess.run([*pip, TORCH, "numpy", "pillow", *peer.packages], check=True)
        if not peer.from_checkout:
            subprocess.run([*pip, "--no-deps", peer.requirement], check=True)
        ready.touch()
    if peer is not PASTICHE:
        # What they take from torchvision, which has no build beside PyTorch's CPU build.
        (site,) = environment.glob("lib/python*/site-packages")
        (site / "stand_in.pth").write_text(f"{STAND_IN}\n")
        _write_weights(environment / "bin" / "python", job)
    return environment


def _write_weights(python: pathlib.Path, job: Job) -> None:
    if job.weights.exists():
        return
    from tf_style.network import weights

    arrays = {
        f"{layer}/{part}": array
        for layer, (kernel, bias) in weights.load("embedded").items()
        for part, array in (("kernel", kernel), ("bias", bias))
    }
    np.savez(job.environments / "weights.npz", **arrays)
    source = job.environments / "weights.npz"
    subprocess.run([python, "-c", STATE_DICT, source, job.weights], check=True)


def side_by_side(pictures: Sequence[pathlib.Path], output: pathlib.Path) -> None:
    """From left to right; all of one height."""
    arrays = [np.asarray(Image.open(picture).convert("RGB")) for picture in pictures]
    Image.fromarray(np.concatenate(arrays, axis=1)).save(output)
