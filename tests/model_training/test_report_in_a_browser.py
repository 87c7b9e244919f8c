"""The HTML report in a real browser: nothing is cut off, by day, by night, on a telephone."""

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

from model_training.pipelines.gate import Champion
from model_training.pipelines.report.page import POLICY, page
from model_training.pipelines.train import train
from model_training.recipe import Recipe
from sepal.contracts import Contract
from tests.model_training.conftest import DATA, Drafts

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="no chromium, chromium-browser or google-chrome on the PATH to look at pages with",
)

# What is wider than its place, unless that scrolls; and drawings and their texts outside of them.
LOOK = """
const [page, out] = [document.documentElement, []];
const wide = [...document.body.querySelectorAll("*")].filter(
  e => !e.closest("svg, .scrolls") && e.getBoundingClientRect().right > page.clientWidth + 0.5);
const cut = [...document.querySelectorAll("svg text")].filter(text => {
  const [inner, outer] = [text.getBoundingClientRect(), text.closest("svg").getBoundingClientRect()];
  return inner.left < outer.left - 1 || inner.right > outer.right + 1
      || inner.top < outer.top - 1 || inner.bottom > outer.bottom + 1;
});
parent.postMessage(JSON.stringify({
  width: page.clientWidth, scroll: page.scrollWidth, wide: wide.map(e => e.outerHTML.slice(0, 99)),
  cut: cut.map(e => e.textContent), drawings: document.querySelectorAll("svg").length,
  scrolling: [...document.querySelectorAll(".scrolls")].filter(e => e.scrollWidth > e.clientWidth).length,
  ink: getComputedStyle(document.querySelector("svg text")).fill,
}), "*");
"""


def look(html: str, width: int, folder: Path, *options: str) -> Any:  # noqa: ANN401
    """What a browser makes of a page so many pixels wide; a frame, since windows can't be that narrow."""
    script = f"<script>addEventListener('load', () => {{{LOOK}}})</script></body>"
    inner = html.replace(POLICY, "").replace("</body>", script)
    frame = f'<iframe style="width:{width}px; height:900px; border:0" srcdoc="{escape(inner)}"></iframe>'
    hear = "addEventListener('message', heard => {document.title = heard.data})"
    (folder / "frame.html").write_text(f"<title></title><script>{hear}</script>{frame}", encoding="utf-8")
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000"]
    profile = f"--user-data-dir={folder / 'profile'}"
    url = (folder / "frame.html").as_uri()
    done = subprocess.run(
        [*command, profile, *options, "--window-size=1400,1000", "--dump-dom", url],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    title = re.search("<title>(.*?)</title>", done.stdout, re.DOTALL)
    return json.loads(unescape(title[1])) if title else None


@pytest.fixture(params=["iris", "ride_duration"])
def html(
    request: pytest.FixtureRequest,
    recipes: dict[str, Recipe],
    contracts: dict[str, Contract],
    drafts: Drafts,
) -> str:
    """The page of a version with a champion beside it."""
    recipe, pages = recipes[request.param], []
    champion = None
    for _ in range(2):
        version = train(
            recipe,
            contracts[request.param],
            data=DATA / recipe.default_data,
            register=drafts.register,
            progress=lambda step: None,
            champion=champion,
            report=(lambda *found: pages.append(page(*found))) if champion else None,
        )
        champion = Champion(version, lambda version: drafts[0].pipeline)
    return pages[0]


def test_nothing_is_cut_off_on_a_screen_or_a_telephone_by_day_or_night(html: str, tmp_path: Path) -> None:
    by_day = {width: look(html, width, tmp_path) for width in (1200, 420)}
    for width, found in by_day.items():
        assert width - 20 <= found["width"] <= width, "but for a scroll bar"
        assert found["scroll"] <= found["width"]
        assert (found["wide"], found["cut"], found["scrolling"]) == ([], [], 0)
        assert found["drawings"] >= 6
    by_night = look(html, 420, tmp_path, "--blink-settings=preferredColorScheme=0")
    assert by_night["ink"] != by_day[420]["ink"], "the drawings take the page's colours"
