"""From a matplotlib figure to SVG inside a page: with its colours and font, and always the same bytes."""

import re
import warnings
from collections.abc import Callable
from io import StringIO
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from model_training.pipelines.report.markup import Markup, tag

INK, MUTED, GRID, TRAIN, TEST = "#010101", "#020202", "#030303", "#040404", "#050505"
"""Stand for the page's colours, which are other ones by night and on paper."""

WIDTH = 4.8
"""Inches; the page scales a drawing to its column."""

_VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid", TRAIN: "train", TEST: "test"}
_STYLE: dict[Any, object] = {  # matplotlib's types spell out every key
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so every machine measures text alike
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,  # a name with dollars is a name
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8,
}
_FONT = "'DejaVu Sans', sans-serif"
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def drawn(
    name: str,
    said: str,
    draw: Callable[[Axes], None],
    *,
    height: float = 3.0,
    parts: tuple[int, ...] = (1,),
) -> Markup:
    """What `draw` puts on axes as an `<svg>`; `said` says it to those who can't see it.

    `name` tells its elements from those of the page's other drawings; `height` is in
    inches. With several `parts`, of heights in these proportions, the axes are the first
    of as many below one another that share one x axis; the others are its figure's.
    """
    # Not pyplot: it would choose a backend for the whole process, and keep the figures.
    with mpl.rc_context(), warnings.catch_warnings():
        # A name may be in a script that the font lacks; the browser brings one that has it.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font", category=UserWarning)
        mpl.rcdefaults()
        mpl.rcParams.update({**_STYLE, "svg.hashsalt": name})
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.subplots(len(parts), 1, sharex=True, squeeze=False, height_ratios=parts)
        draw(axes[0, 0])
        return _inline(name, said, _svg(figure))


def _svg(figure: Figure) -> str:
    text = StringIO()
    # Not savefig: it draws everything once more than it writes.
    FigureCanvasSVG(figure).print_svg(text, metadata=_NO_METADATA)  # type: ignore[no-untyped-call]
    return text.getvalue()


def _inline(name: str, said: str, svg: str) -> Markup:
    """The drawing without what only a file of its own needs, with ids that no other drawing has."""
    head, body = svg[svg.index("<svg") :].split(">", 1)
    box = head.partition('viewBox="')[2].partition('"')[0]
    body = re.sub(
        r"<!--.*?-->|<style.*?</style>", "", body.removesuffix("\n").removesuffix("</svg>"), flags=re.DOTALL
    )
    body = re.sub(r"<[^<>]+>", lambda found: _of_the_page(name, found[0]), body)
    return tag("svg", Markup(re.sub(r"\n\s*", "\n", body)), viewBox=box, role="img", aria_label=said)


def _of_the_page(name: str, element: str) -> str:
    """One tag with the drawing's ids, and the page's font and colours. Text has no part in it."""
    element = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", element).replace(_FONT, "var(--font)")
    for colour, variable in _VARIABLES.items():
        element = element.replace(colour, f"var(--{variable})")
    return element
