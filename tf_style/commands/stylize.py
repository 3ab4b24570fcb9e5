"""The command line of `stylize`. TensorFlow is imported only once the request is known to be sound."""

import argparse
from collections.abc import Sequence

from tf_style._version import __version__
from tf_style.commands import runner
from tf_style.objective.presets import PRESETS
from tf_style.transfer.settings import Settings


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program.

    Args:
      argv: Arguments without the program's name; None for the process's own.

    Returns:
      The exit code: 0; 1 for a failed run; 2 for a wrong request; 130 after Ctrl-C, 143 after SIGTERM.
    """
    return runner.run(_parser(), _run, argv)


def _run(arguments: argparse.Namespace) -> int:
    # Numerical libraries take a moment to import, so `--help` has to come first.
    from tf_style.commands import stylize_run

    return stylize_run.run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = runner.Parser(
        prog="stylize",
        description="Renders the content of one image in the style of others, by optimisation "
        "(Gatys, Ecker and Bethge, CVPR 2016). Without --style the content is reconstructed from its "
        "layer; without --content the style's texture is synthesised.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")

    files = parser.add_argument_group("files")
    files.add_argument("--content", metavar="FILE", help="the content image")
    files.add_argument(
        "--style", metavar="FILE", action="append", default=[], help="a style image; repeatable"
    )
    files.add_argument("--output", metavar="FILE", help=".png, .jpg, .webp or .tif")
    files.add_argument("--bit-depth", type=int, choices=(8, 16), default=8, help="16: PNG only")
    files.add_argument("--trace", metavar="FILE", help="write every evaluation's loss, as JSON")
    files.add_argument(
        "--save-every", metavar="N", type=int, help="also write OUTPUT-N after every N iterations"
    )
    files.add_argument(
        "--dry-run", action="store_true", help="only print the sizes, the memory and the time expected"
    )

    keeping = parser.add_argument_group("long runs")
    keeping.add_argument("--checkpoint", metavar="FOLDER", help="save the run there now and then")
    keeping.add_argument(
        "--checkpoint-every", metavar="SECONDS", type=float, help="how often (default: 60)"
    )
    earlier = keeping.add_mutually_exclusive_group()
    earlier.add_argument(
        "--resume", metavar="FOLDER", help="go on with the run that was saved there, to the same bits"
    )
    earlier.add_argument("--from-trace", metavar="FILE", help="repeat the run that wrote this trace")
    keeping.add_argument(
        "--force", action="store_true", help="start even if the memory does not seem to suffice"
    )
    keeping.add_argument(
        "--deterministic", action="store_true", help="the same bits each time, on a GPU too"
    )

    add_settings(parser)
    amount = runner.add_messages(parser)
    amount.add_argument("--json", action="store_true", help="an object a line on stdout, for programs")
    return parser


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Adds a flag for each field of `Settings`; those not given are left to it."""

    def add(group, flag: str, help: str, **options) -> None:
        """Adds a flag for the field of Settings of that name; not given, it is left to Settings."""
        default = getattr(Settings, flag.removeprefix("--").replace("-", "_"))
        if default is None:
            default = options.pop("unset", "the preset's")
        group.add_argument(
            flag, default=argparse.SUPPRESS, help=f"{help} (default: {default})", **options
        )

    size = parser.add_argument_group("size")
    add(size, "--size", "working size, in pixels", type=int, metavar="PX")
    add(size, "--size-of", "what --size measures", choices=("long", "short", "area"))
    add(
        size,
        "--style-fit",
        "style image to the content's area, or stretched to its exact size",
        choices=("area", "stretch"),
    )
    add(size, "--style-scale", "factor on the style image's sides", type=float, unset=1.0)

    objective = parser.add_argument_group("objective")
    add(objective, "--preset", "weights, layers and network", choices=tuple(PRESETS))
    add(objective, "--content-weight", "alpha", type=float, metavar="W")
    add(objective, "--style-weight", "beta", type=float, metavar="W")
    add(objective, "--tv-weight", "weight of the total variation", type=float, metavar="W")
    add(objective, "--content-layers", "such as conv4_2", type=_names, metavar="L,...")
    add(objective, "--style-layers", "such as conv1_1,conv2_1", type=_names, metavar="L,...")
    add(
        objective,
        "--style-layer-weights",
        "one for each style layer",
        type=_numbers,
        metavar="W,...",
    )
    add(
        objective,
        "--style-blend",
        "one weight for each style image",
        type=_numbers,
        metavar="W,...",
        unset="equal",
    )

    network = parser.add_argument_group("network")
    add(network, "--pooling", "between blocks", choices=("average", "max"))
    add(network, "--padding", "beyond the image's border", choices=("replicate", "zero"))
    add(network, "--weights", "embedded, imagenet or a Keras .h5 file", metavar="WEIGHTS")
    add(
        network,
        "--normalize",
        "scale each filter to a mean activation of 1",
        action=argparse.BooleanOptionalAction,
    )
    add(network, "--precision", "of the network", choices=("auto", "float32", "bfloat16"))
    add(
        network,
        "--tile",
        "evaluate by exact tiles: auto where the memory asks for it, off, or a side in pixels",
        type=_tile,
        metavar="PX",
    )
    add(network, "--memory", "to take at most", type=float, metavar="GIB", unset="what there is")
    add(network, "--ray", "compute tiles on a cluster: local or its address", unset="this process")
    add(network, "--device", "such as /CPU:0 or /GPU:1", unset="the first GPU, or else the CPU")

    optimisation = parser.add_argument_group("optimisation")
    add(optimisation, "--init", "content, noise, style or an image file", metavar="INIT")
    add(optimisation, "--seed", "of the noise", type=int, unset=0)
    add(optimisation, "--optimizer", "tfp: lbfgs_minimize", choices=("lbfgs", "tfp", "adam"))
    add(optimisation, "--pairs", "of steps and gradients that L-BFGS keeps (m)", type=int, unset=40)
    add(optimisation, "--pair-precision", "in which they are kept", choices=("float32", "bfloat16"))
    add(optimisation, "--iterations", "of the optimiser, in all", type=int, metavar="N")
    add(
        optimisation,
        "--levels",
        "working sizes from coarse to fine, each twice the last one",
        type=int,
        metavar="N",
        unset="by size",
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _tile(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected numbers separated by commas. Received: {text!r}"
        ) from None
