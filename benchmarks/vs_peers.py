"""Time from the shell to the loss that other tools reach after a number of their own steps.

python benchmarks/vs_peers.py --content photo.jpg --style painting.jpg --output FOLDER

Each peer runs in an environment of its own under FOLDER, made at the first run, with PyTorch's CPU
build and the same VGG-19 weights, from the content image, which is given to all in its working size.
Then this package runs under the peer's own objective, as a preset, and the time of the first evaluation
with the peer's last loss is what counts. A peer's run found in FOLDER is taken as it is: its time
stands there.
"""

import argparse
import dataclasses
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Sequence

import numpy as np
import results
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
TORCH = "torch==2.13.0"


@dataclasses.dataclass(frozen=True)
class Peer:
    """Another tool.

    Attributes:
      requirement: What pip installs.
      preset: Our name for its objective.
      step_and_loss: Finds both in a line of its output, the step perhaps empty.
      iterations: Ours, enough to pass its loss after 500 steps.
    """

    requirement: str
    preset: str
    step_and_loss: str
    iterations: int

    @property
    def name(self) -> str:
        """Without the version."""
        return self.requirement.partition("==")[0]


PEERS = (
    Peer("pastiche==1.6.0", "pastiche", r"^(\d+) +\S+ +([\d.]+)$", 600),
    Peer("neural-style==0.5.7", "neural-style-pt", r"^()  Total loss: ([\d.e+]+)$", 250),
)

# neural-style takes six transforms from torchvision, which has no build beside PyTorch's CPU build.
TORCHVISION = """
import numpy, torch
from PIL import Image


class Compose:
    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, value):
        for transform in self.transforms:
            value = transform(value)
        return value


def Resize(size):
    return lambda image: image.resize(size[::-1], Image.Resampling.BILINEAR)


def ToTensor():
    return lambda image: torch.tensor(numpy.asarray(image)).permute(2, 0, 1).float() / 255


def Lambda(function):
    return function


def Normalize(mean, std):
    mean, std = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]
    return lambda tensor: (tensor - mean) / std


def ToPILImage():
    return lambda tensor: Image.fromarray((tensor * 255).byte().permute(1, 2, 0).numpy())
"""

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


def main() -> None:
    """Runs the peers, then this package under each one's objective."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--content", default=str(ROOT / "examples" / "coffee.jpg"))
    parser.add_argument("--style", default=str(ROOT / "examples" / "style.jpg"))
    parser.add_argument("--output", required=True, help="folder for environments, logs and pictures")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument(
        "--device", help="the peers' device, such as cuda; theirs by default is the CPU"
    )
    parser.add_argument("--peers-only", action="store_true", help="without this package's runs")
    parser.add_argument("--write", action="store_true", help="replace the section in RESULTS.md")
    arguments = parser.parse_args()
    folder = pathlib.Path(arguments.output).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    make_pictures(arguments, folder)
    lines = [
        f"{results.machine()}. {pathlib.Path(arguments.content).name} in "
        f"{pathlib.Path(arguments.style).name}, {arguments.size} px, from the content.",
        "",
        f"| peer | its loss at the content | ours | its loss after {arguments.steps} steps "
        "| its seconds | ours to that loss: seconds | evaluations | times sooner | ours in all "
        "| loss of its picture | of ours |",
        f"|{'---|' * 11}",
    ]
    for peer in PEERS:
        theirs = run_peer(peer, arguments, folder)
        print(peer.requirement, theirs["first"], theirs["last"], flush=True)
        if not arguments.peers_only:
            lines.append(compare(peer, theirs, arguments, folder))
            print("\n".join(lines), flush=True)
    if arguments.write:
        results.replace_section("vs_peers", "\n".join(lines))


def make_pictures(arguments: argparse.Namespace, folder: pathlib.Path) -> None:
    """Both pictures in the size in which all use them, so that nobody's resizing matters."""
    content = Image.open(arguments.content).convert("RGB")
    content.thumbnail((arguments.size, arguments.size), Image.Resampling.LANCZOS)
    content.save(folder / "content.png")
    style = Image.open(arguments.style).convert("RGB")
    area = content.width * content.height
    height = round(math.sqrt(area * style.height / style.width))
    width = round(height * style.width / style.height)
    style.resize((width, height), Image.Resampling.LANCZOS).save(folder / "style.png")


def run_peer(peer: Peer, arguments: argparse.Namespace, folder: pathlib.Path) -> dict:
    """Seconds and loss of a peer's first and last evaluation, from the shell."""
    record = folder / f"{peer.name}.json"
    if record.exists():
        return json.loads(record.read_text())
    environment = make_environment(peer, folder)
    steps, device = str(arguments.steps), arguments.device
    content, style = str(folder / "content.png"), str(folder / "style.png")
    output = str(folder / f"{peer.name}.png")
    program = str(environment / "bin" / peer.name)
    if peer.name == "pastiche":
        command = [program, "--size", str(arguments.size), "--num-steps", steps, "--info-step", "1"]
        command += ["-c", content, "-s", style, "-o", output]
        command += ["--device", device] if device else []
    else:
        command = [program, "-content_image", content, "-style_image", style, "-output_image", output]
        command += ["-image_size", str(max(Image.open(content).size)), "-style_scale"]
        command += [repr(max(Image.open(style).size) / max(Image.open(content).size))]
        command += ["-num_iterations", steps, "-print_iter", "1", "-save_iter", "0", "-init", "image"]
        command += ["-model_file", str(folder / "vgg19.pth"), "-disable_check"]
        command += ["-gpu", "0" if device else "c", "-backend", "cudnn" if device else "mkl"]
    losses, seconds = [], []
    start = time.time()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as process:
        for line in process.stdout:
            if found := re.match(peer.step_and_loss, line.rstrip("\n")):
                losses.append(float(found[2]))
                seconds.append(time.time() - start)
    if process.returncode or not losses:
        sys.exit(f"{peer.requirement} failed with exit code {process.returncode}: {command}")
    found = {
        "first": {"loss": losses[0], "seconds": seconds[0]},
        "last": {"loss": losses[-1], "seconds": seconds[-1]},
        "losses": losses,
        "seconds": seconds,
        "when": time.strftime("%Y-%m-%d %H:%M", time.localtime(start)),
        "machine": results.machine(),
    }
    record.write_text(json.dumps(found))
    return found


def make_environment(peer: Peer, folder: pathlib.Path) -> pathlib.Path:
    """The peer in a virtual environment, with what it needs to run as it is."""
    environment = folder / f"{peer.name}-environment"
    if not environment.exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        pip = [environment / "bin" / "pip", "install", "--quiet"]
        subprocess.run([*pip, TORCH, "numpy", "pillow"], check=True)
        subprocess.run([*pip, "--no-deps", peer.requirement], check=True)
    if peer.name == "neural-style":
        (site,) = environment.glob("lib/python*/site-packages")
        (site / "torchvision").mkdir(exist_ok=True)
        (site / "torchvision" / "__init__.py").write_text("")
        (site / "torchvision" / "transforms.py").write_text(TORCHVISION)
        from tf_style.network import weights

        arrays = {
            f"{layer}/{part}": array
            for layer, (kernel, bias) in weights.load("embedded").items()
            for part, array in (("kernel", kernel), ("bias", bias))
        }
        np.savez(folder / "weights.npz", **arrays)
        python = environment / "bin" / "python"
        pth = folder / "vgg19.pth"
        subprocess.run([python, "-c", STATE_DICT, folder / "weights.npz", pth], check=True)
    return environment


def compare(peer: Peer, theirs: dict, arguments: argparse.Namespace, folder: pathlib.Path) -> str:
    """A line of the table."""
    picture, trace_file = folder / f"{peer.name}-ours.png", folder / f"{peer.name}-ours.json"
    command = [sys.executable, str(ROOT / "bin" / "stylize"), "--quiet", "--preset", peer.preset]
    command += ["--content", str(folder / "content.png"), "--style", str(folder / "style.png")]
    command += ["--size", str(arguments.size), "--init", "content"]
    command += ["--iterations", str(peer.iterations)]
    start = time.time()
    subprocess.run([*command, "--output", str(picture), "--trace", str(trace_file)], check=True)
    total = time.time() - start
    trace = json.loads(trace_file.read_text())
    last_level = trace["evaluations"][-1]["level"]
    target = theirs["last"]["loss"]
    reached = [
        (index + 1, trace["started"] + evaluation["seconds"] - start)
        for index, evaluation in enumerate(trace["evaluations"])
        if evaluation["level"] == last_level and evaluation["loss"] <= target
    ]
    evaluations, seconds = reached[0] if reached else (len(trace["evaluations"]), math.inf)
    side_by_side([folder / f"{peer.name}.png", picture], folder / f"{peer.name}-and-ours.png")
    at_content, of_theirs, of_ours = losses_of(
        peer.preset,
        [folder / "content.png", folder / f"{peer.name}.png", picture],
        arguments,
        folder,
    )
    return (
        f"| {peer.requirement} ({theirs['when']}) | {theirs['first']['loss']:.6g} | {at_content:.6g} "
        f"| {target:.5g} | {theirs['last']['seconds']:.0f} | {seconds:.0f} | {evaluations} "
        f"| {theirs['last']['seconds'] / seconds:.2f} | {total:.0f} | {of_theirs:.5g} | {of_ours:.5g} |"
    )


def losses_of(
    preset: str, pictures: Sequence[pathlib.Path], arguments: argparse.Namespace, folder: pathlib.Path
) -> list[float]:
    """The loss of pictures as they lie on disk, in 8 bits, evaluated in float32."""
    import tensorflow as tf

    from tf_style import Settings, StyleTransfer, prepare

    settings = Settings(
        preset=preset, size=arguments.size, precision="float32", levels=1, init="content"
    )
    inputs = prepare(str(folder / "content.png"), [str(folder / "style.png")], settings)
    objective = StyleTransfer(inputs).objective
    losses = []
    for picture in pictures:
        image = np.asarray(Image.open(picture).convert("RGB"), np.float32)[np.newaxis]
        losses.append(float(tf.reduce_sum(objective.parts_and_gradient(tf.constant(image))[0])))
    return losses


def side_by_side(pictures: Sequence[pathlib.Path], output: pathlib.Path) -> None:
    """Theirs at the left, ours at the right."""
    arrays = [np.asarray(Image.open(picture).convert("RGB")) for picture in pictures]
    Image.fromarray(np.concatenate(arrays, axis=1)).save(output)


if __name__ == "__main__":
    main()
