"""The command line of `stylize`. TensorFlow is imported only once the request is known to be sound."""

import argparse
import contextlib
import os
import time
from collections.abc import Callable, Sequence

from tf_style import program
from tf_style._version import __version__
from tf_style.errors import InputError, TransferError
from tf_style.presets import PRESETS
from tf_style.settings import Settings

START = time.time()


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program.

    Args:
      argv: Arguments without the program's name; None for the process's own.

    Returns:
      The exit code: 0; 1 for a failed run; 2 for a wrong request; 130 after Ctrl-C, 143 after SIGTERM.
    """
    return program.run(_parser(), _run, argv)


def _run(arguments: argparse.Namespace) -> int:
    # Numerical libraries take a moment to import, so `--help` has to come first.
    from tf_style import image_files
    from tf_style.inputs import prepare

    settings = _settings(arguments)
    if arguments.save_every is not None and not 1 <= arguments.save_every < settings.iterations:
        raise InputError(
            f"--save-every is 1 or more and below the {settings.iterations} iterations. "
            f"Received: {arguments.save_every}"
        )
    _check_files_differ(arguments, settings)
    if arguments.trace is not None:
        image_files.check_writable(arguments.trace)
    # The output's name before the inputs are read, and its size once that is known.
    image_files.check_output(arguments.output, bit_depth=arguments.bit_depth)
    inputs = prepare(arguments.content, arguments.style, settings)
    size = (inputs.height, inputs.width)
    image_files.check_output(arguments.output, bit_depth=arguments.bit_depth, size=size)

    with program.stop_on_signals() as stop:
        with contextlib.nullcontext() if arguments.verbose else program.startup_noise_hidden():
            from tf_style.transfer import StyleTransfer

            transfer = StyleTransfer(inputs)
        from tf_style import report

        if arguments.dry_run:
            print(report.plan(transfer))
            return stop.exit_code

        if arguments.verbose:
            report.print_setup(transfer)

        def save(path: str, image) -> None:
            image_files.write(
                path,
                image,
                alpha=inputs.alpha,
                bit_depth=arguments.bit_depth,
                description=report.describe(arguments, transfer),
            )

        with report.progress_display(quiet=arguments.quiet) as display:
            callback = _snapshots(arguments, save, display)
            result = transfer.run(
                callback=callback, callback_every=arguments.save_every, should_stop=stop
            )

        has_picture = bool(result.evaluations) and (result.iterations or not result.status.is_failure)
        if has_picture:
            save(arguments.output, result.image)
        if arguments.trace is not None:
            report.write_trace(arguments.trace, arguments, transfer, result, START)

    if not has_picture:
        if stop():
            return program.fail("interrupted before the first evaluation ended", stop.exit_code)
        raise TransferError(f"No picture was made: {result.status.text}.")
    if not arguments.quiet:
        report.print_summary(arguments.output, result)
    if result.status.is_failure:
        return program.fail(
            f"{arguments.output} holds the last good picture: {result.status.text}.",
            program.EXIT_FAILED,
        )
    return stop.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = program.Parser(
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
    files.add_argument("--output", metavar="FILE", required=True, help=".png, .jpg, .webp or .tif")
    files.add_argument("--bit-depth", type=int, choices=(8, 16), default=8, help="16: PNG only")
    files.add_argument("--trace", metavar="FILE", help="write every evaluation's loss, as JSON")
    files.add_argument(
        "--save-every", metavar="N", type=int, help="also write OUTPUT-N after every N iterations"
    )
    files.add_argument(
        "--dry-run", action="store_true", help="only print the sizes, the memory and the time expected"
    )

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
    add(network, "--device", "such as /CPU:0 or /GPU:1", unset="the first GPU, or else the CPU")

    optimisation = parser.add_argument_group("optimisation")
    add(optimisation, "--init", "content, noise, style or an image file", metavar="INIT")
    add(optimisation, "--seed", "of the noise", type=int, unset=0)
    add(optimisation, "--optimizer", "tfp: lbfgs_minimize", choices=("lbfgs", "tfp", "adam"))
    add(optimisation, "--pairs", "of steps and gradients that L-BFGS keeps (m)", type=int, unset=10)
    add(optimisation, "--iterations", "of the optimiser, in all", type=int, metavar="N")
    add(
        optimisation,
        "--levels",
        "working sizes from coarse to fine, each twice the last one",
        type=int,
        metavar="N",
        unset="by size",
    )

    program.add_messages(parser)
    return parser


def _settings(arguments: argparse.Namespace) -> Settings:
    return Settings(
        **{
            field: getattr(arguments, field)
            for field in Settings.__dataclass_fields__
            if hasattr(arguments, field)
        }
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected numbers separated by commas. Received: {text!r}"
        ) from None


def _snapshots(arguments: argparse.Namespace, save: Callable, display: Callable) -> Callable:
    stem, extension = os.path.splitext(arguments.output)

    def callback(progress) -> None:
        display(progress)
        every, iteration = arguments.save_every, progress.iteration
        if every and iteration and iteration % every == 0:
            save(f"{stem}-{iteration:05d}{extension}", progress.read_image())

    return callback


def _check_files_differ(arguments: argparse.Namespace, settings: Settings) -> None:
    """Refuses to write over what is read, such as the one copy of a photograph."""
    from tf_style.image_files import shown

    inputs = [("--content", arguments.content), *(("--style", style) for style in arguments.style)]
    inputs += [("--init", settings.init), ("--weights", settings.weights)]
    files = {os.path.realpath(path): flag for flag, path in inputs if path and os.path.isfile(path)}
    for flag, path in (("--output", arguments.output), ("--trace", arguments.trace)):
        if path is not None and (other := files.setdefault(os.path.realpath(path), flag)) != flag:
            raise InputError(f"{flag} and {other} name the same file: {shown(path)}")
