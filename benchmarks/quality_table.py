"""The table of `quality.py` in Markdown, and what it says of our pictures against the peers'."""

from collections.abc import Collection, Mapping

# By pair and tool the figures by column. A photograph and a painting stand there too, for comparison.
Scores = Mapping[str, Mapping[str, Mapping[str, float]]]
PHOTOGRAPH, PAINTING = "the photograph", "the painting"

LEGEND = """\
Edges: correlation of gradient magnitudes with the photograph's. Patches, colours: sliced Wasserstein
distance to the painting. Gram, moments: relative distance to it at conv1_2, conv2_2, conv3_3 and
conv4_3, which no tool optimises. Noise: root mean square at 0.4 cycles a pixel and above, in grey
levels. Peaks: power at that many cycles a pixel over what is around it, where the photograph is flat.
Clipped: pixels. Seconds: from the shell. `benchmarks/quality_metrics.py` defines each."""

FORMATS = {
    "edges": "{:.3f}",
    "MS-SSIM": "{:.3f}",
    "patches": "{:.4f}",
    "colours": "{:.4f}",
    "Gram": "{:.3f}",
    "moments": "{:.3f}",
    "noise brightness": "{:.1f}",
    "noise red-blue": "{:.1f}",
    "noise green": "{:.1f}",
    "peak 1/2": "{:.1f}",
    "peak 1/4": "{:.1f}",
    "peak 1/8": "{:.1f}",
    "clipped": "{:.1%}",
    "seconds": "{:.0f}",
}
COLOUR_NOISE = ("noise red-blue", "noise green")
PEAKS = ("peak 1/2", "peak 1/4", "peak 1/8")


def table(scores: Scores) -> str:
    """A line for each pair and tool; a figure that is not known stays empty."""
    lines = [["pair", "picture", *FORMATS]]
    for pair, tools in scores.items():
        for tool, figures in tools.items():
            cells = [
                form.format(figures[key]) if key in figures else "" for key, form in FORMATS.items()
            ]
            lines.append([pair, tool, *cells])
    return _markdown(lines)


def against_peers(scores: Scores, peers: Collection[str]) -> str:
    """Of each of our pictures, on how many pairs it is nearer than each peer's, over pairs with both.

    Nearer to the photograph by edges, to the painting by patches.
    """
    lines = [["ours", "peer", "pairs", "nearer to the photograph", "to the painting", "to both"]]
    for label in _labels(scores, peers):
        for peer in peers:
            both = [tools for tools in scores.values() if label in tools and peer in tools]
            photograph = [tools[label]["edges"] > tools[peer]["edges"] for tools in both]
            painting = [tools[label]["patches"] < tools[peer]["patches"] for tools in both]
            nearer_to_both = [a and b for a, b in zip(photograph, painting, strict=True)]
            counts = (len(both), sum(photograph), sum(painting), sum(nearer_to_both))
            if both:
                lines.append([label, peer, *map(str, counts)])
    return _markdown(lines)


def spreads(scores: Scores, peers: Collection[str]) -> str:
    """Of each tool, over its pairs: edges from least to most, and noise and peaks beyond the peers'.

    Beyond: the largest excess, over pairs and colour axes, above the quietest peer's noise, in levels;
    the largest ratio, over pairs and frequencies, to the lowest peer's peak. Empty without peers.
    """
    lines = [["picture", "pairs", "edges, least", "most", "spread", "noise beyond", "peaks beyond"]]
    for label in [*_labels(scores, peers), *peers]:
        mine = [tools for tools in scores.values() if label in tools]
        if not mine:
            continue
        edges = [tools[label]["edges"] for tools in mine]
        excess, ratio = [], []
        for tools in mine:
            others = [tools[peer] for peer in peers if peer in tools and peer != label]
            for key in COLOUR_NOISE if others else ():
                excess.append(tools[label][key] - min(other[key] for other in others))
            for key in PEAKS if others else ():
                ratio.append(tools[label][key] / min(other[key] for other in others))
        lines.append(
            [
                label,
                str(len(mine)),
                *(f"{value:.3f}" for value in (min(edges), max(edges), max(edges) - min(edges))),
                f"{max(excess):+.1f}" if excess else "",
                f"{max(ratio):.1f} times" if ratio else "",
            ]
        )
    return _markdown(lines)


def _labels(scores: Scores, peers: Collection[str]) -> list[str]:
    """Ours, each once."""
    labels = dict.fromkeys(tool for tools in scores.values() for tool in tools)
    return [label for label in labels if label not in (*peers, PHOTOGRAPH, PAINTING)]


def _markdown(lines: list[list[str]]) -> str:
    """The first line is the head; without others there is no table."""
    if len(lines) == 1:
        return ""
    head, *rest = (f"| {' | '.join(cells)} |" for cells in lines)
    return "\n".join([head, f"|{'---|' * len(lines[0])}", *rest])
