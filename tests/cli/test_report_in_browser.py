"""The report in a real browser: Debian's Chromium, without a screen. Pictures of it are left in build/report-screenshots.

`make browser` installs Chromium where that can be done; elsewhere these tests are skipped, and say so.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import wsec
from wsec.compiler.plan import Phase, Rectangle
from wsec.runtime.estimate import estimate
from wsec.runtime.report import write_page
from wsec.runtime.report.failure import Failure, failure_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

SCREENSHOTS = Path(__file__).parents[2] / "build" / "report-screenshots"
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("CI") != "true",
    reason="THE REPORT IS NOT TESTED IN A BROWSER: there is no chromium; run make browser, or install it",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, once for this file."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture(scope="module")
def report_file(small_full_plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the small network with circuits."""
    return wsec.report(small_full_plan, tmp_path_factory.mktemp("report") / "small.html")


Opened = tuple["Page", list[str]]


@pytest.fixture
def opened(browser: Browser, report_file: Path) -> Iterator[Callable[..., Opened]]:
    """Opens the report; beside the page what its console said and what it asked the network for."""
    pages: list[Page] = []

    def start(file: Path = report_file, width: int = 1280, **options: Any) -> Opened:
        page = browser.new_page(viewport={"width": width, "height": 900}, **options)
        pages.append(page)
        said: list[str] = []

        def hear(message: ConsoleMessage) -> None:
            said.extend([] if message.type == "info" else [message.text])

        def see(request: Request) -> None:
            said.extend([] if request.url.startswith("data:") else [request.url])

        page.on("console", hear)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", see)
        page.goto(file.as_uri())
        page.wait_for_function("document.documentElement.dataset.ready === 'yes'")
        assert said.pop(0) == file.as_uri()
        return page, said

    yield start
    for page in pages:
        page.close()


def picture_of(page: Page, selector: str) -> bytes:
    """What an element looks like once the page has come to rest."""
    page.wait_for_timeout(250)
    return page.locator(selector).screenshot()


def keep(page: Page, name: str) -> None:
    """Leave a picture of the page for people to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def test_it_loads_alone(opened: Callable[..., Opened]) -> None:
    """No error on the console, no request but for the file itself; every chart is drawn, and the table has every kernel."""
    page, said = opened()
    for chart in ("floorplan", "timeline", "memory", "roofline"):
        assert page.locator(f"#{chart} canvas").count() >= 1, chart
    names = page.evaluate("report.kernels.name")
    assert page.locator("#kernels tbody tr").count() == len(names) > 0
    assert page.locator("#facts dt").count() == 9
    keep(page, "light-1280")
    assert said == []


def test_hovering_and_clicking_tell_of_a_kernel(opened: Callable[..., Opened]) -> None:
    """The tooltip names the kernel under the mouse; a click lists its numbers and draws its tensors."""
    page, said = opened()
    x, y, name = page.evaluate(
        """() => {
          const figure = floorplan.figure, k = 0;
          const box = document.querySelector("#floorplan").getBoundingClientRect();
          const view = Bokeh.index.find_one(figure);
          const frame = view.frame.bbox;
          return [box.left + frame.left + (kernels.x[k] + kernels.width[k] / 2) / report.columns * frame.width,
                  box.top + frame.top + (kernels.y[k] + kernels.height[k] / 2) / report.rows * frame.height, kernels.name[k]];
        }"""
    )
    page.mouse.move(x, y)
    for text in (name, "operators", "bound by"):
        page.wait_for_selector(f".bk-Tooltip:has-text('{text}')")
    keep(page, "hovering")
    page.mouse.click(x, y)
    page.wait_for_function("state.selected === 0")
    assert name in page.locator("#details").inner_text()
    assert page.evaluate("floorplan.flows.data.xs.length") >= 2  # one comes in, one leaves
    assert page.locator("#kernels tr.chosen").inner_text().startswith(name)
    assert said == []


def test_zoom_and_keys(opened: Callable[..., Opened]) -> None:
    """Buttons, the wheel and keys zoom; arrows and letters go from kernel to kernel."""
    page, said = opened()

    def span() -> float:
        return float(page.evaluate("floorplan.figure.x_range.end - floorplan.figure.x_range.start"))

    whole = span()
    page.click("#zoom-in")
    assert span() < whole
    page.click("#zoom-reset")
    assert span() == whole
    page.focus("#floorplan")
    page.keyboard.press("n")
    assert page.evaluate("state.selected") == 0
    page.keyboard.press("n")
    second = page.evaluate("state.selected")
    assert second == 1
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("p")
    assert page.evaluate("state.selected") >= 0
    page.keyboard.press("+")
    assert span() < whole
    page.keyboard.press("0")
    assert span() == whole
    box = page.locator("#floorplan").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.wheel(0, -240)
    page.wait_for_function(f"floorplan.figure.x_range.end - floorplan.figure.x_range.start < {whole}")
    page.focus("#floorplan")
    page.keyboard.press("Escape")
    assert page.evaluate("state.selected") == -1
    assert "No kernel selected" in page.locator("#details").inner_text()
    assert said == []


def test_search_by_operator(opened: Callable[..., Opened]) -> None:
    """What an operator's name finds stays in the table and keeps its colour; an empty search shows all again."""
    page, said = opened()
    operators = page.evaluate("report.kernels.operators")
    wanted = operators[0][0]
    page.fill("#search", wanted)
    matching = sum(any(wanted in name for name in names) for names in operators)
    page.wait_for_selector(f"#found:has-text('{matching} of {len(operators)} kernels found')")
    assert page.locator("#kernels tbody tr").count() == matching < len(operators)
    alphas = page.evaluate("Array.from(floorplan.data.data.alpha)")
    assert (alphas.count(1), alphas.count(0.12)) == (matching, len(operators) - matching)
    page.press("#search", "Enter")
    assert wanted in page.locator("#details").inner_text()
    page.fill("#search", "nothing has this name")
    page.wait_for_selector("#found:has-text('0 of')")
    page.fill("#search", "")
    page.wait_for_function(f"document.querySelectorAll('#kernels tbody tr').length === {len(operators)}")
    assert said == []


def test_colourings_differ_and_have_a_legend(opened: Callable[..., Opened]) -> None:
    """Each of the eight changes the picture, from the list and by its key."""
    page, said = opened()
    names = page.evaluate("Object.keys(COLOURINGS)")
    assert len(names) == 8
    pictures = {}
    for name in names:
        page.select_option("#colouring", name)
        pictures[name] = picture_of(page, "#floorplan")
        assert page.locator("#legend").inner_text().strip()
    keep(page, "colours-of-routers")
    assert len(set(pictures.values())) == len(names)
    page.focus("#floorplan")
    page.keyboard.press("c")
    assert page.input_value("#colouring") == names[0]
    assert said == []


def test_light_and_dark(opened: Callable[..., Opened]) -> None:
    """The page follows the system, and a button; charts too."""
    page, said = opened(color_scheme="dark")
    dark = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, figures[0].background_fill_color]"
    )
    page.evaluate("select(0)")
    keep(page, "dark-1280")
    page.click("#theme")
    light = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, figures[0].background_fill_color]"
    )
    assert light == ["rgb(255, 255, 255)", "#ffffff"]
    assert dark[0] != light[0]
    assert dark[1] != light[1]
    assert page.get_attribute("#theme", "aria-pressed") == "false"
    assert said == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_axe_finds_nothing(opened: Callable[..., Opened], width: int, scheme: str) -> None:
    """Contrast, labels, names and order of headings, by axe-core; a narrow page needs no scrolling to the side."""
    from axe_playwright_python.sync_playwright import Axe

    page, said = opened(width=width, color_scheme=scheme)
    page.evaluate("select(0)")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    keep(page, f"{scheme}-{width}")
    assert said == []


def test_a_plan_without_kernels(opened: Callable[..., Opened], small_full_plan: Path, tmp_path: Path) -> None:
    """Where all runs on the host the page says so, and nothing on it fails."""
    record = wsec.load_plan(small_full_plan).record
    (phase,) = record.wafers[0].phases
    empty = replace(phase, kernels=(), links=(), circuits=())
    record = replace(record, wafers=(replace(record.wafers[0], phases=(empty,)),))
    file = tmp_path / "empty.html"
    write_page(file, record, estimate(record))
    page, said = opened(file)
    assert "0 of 0 kernels" in page.locator("#table-says").inner_text()
    page.focus("#floorplan")
    for key in ("n", "p", "ArrowLeft", "c", "+", "0", "Escape"):
        page.keyboard.press(key)
    assert page.evaluate("state.selected") == -1
    assert said == []


def test_kernels_that_take_turns(
    opened: Callable[..., Opened], small_full_plan: Path, tmp_path: Path
) -> None:
    """Of 40 turns each is one step away; ends of tensors in other turns are outlined and named; a wafer has one row."""
    record = wsec.load_plan(small_full_plan).record
    (phase,) = record.wafers[0].phases
    link = next(link for link in phase.links if "host" not in (link.source, link.target))
    by_name = {kernel.name: kernel for kernel in phase.kernels}
    pair = (by_name[link.source], by_name[link.target])
    kernels = [
        replace(pair[number % 2], name=f"turn{number}", operators=(f"op{number}",)) for number in range(40)
    ]
    phases = tuple(
        Phase(
            (kernel,),
            (replace(link, source=f"turn{number - 1}", target=kernel.name, routes=()),) if number % 2 else (),
        )
        for number, kernel in enumerate(kernels)
    )
    wafer = replace(record.wafers[0], phases=phases, mode="sequential")
    record = replace(record, wafers=(wafer,), fabric="lanes")
    file = tmp_path / "turns.html"
    write_page(file, record, estimate(record))
    page, said = opened(file)
    assert page.locator("#parts tbody tr").count() == 1
    assert "0, 0 to 39" in page.locator("#parts tbody").inner_text()
    assert "weights and states of all its kernels" in page.locator("#memory-says").inner_text()
    assert page.is_disabled("#part-before")
    page.click("#part-after")
    assert page.locator("#part option:checked").inner_text() == "wafer 0, phase 1: turn1"
    page.focus("#floorplan")
    page.keyboard.press("n")
    page.keyboard.press("n")
    assert page.evaluate("kernels.name[state.selected]") == "turn2"
    assert page.input_value("#part") == "2"
    details = page.locator("#details").inner_text()
    assert "to turn3 (wafer 0, phase 3)" in details
    assert page.evaluate("floorplan.ends.data.dash.map((dash) => dash.length)") == [2]
    page.keyboard.press("p")
    assert page.input_value("#part") == "1"
    keep(page, "turns")
    assert said == []


def test_thousands_of_kernels(opened: Callable[..., Opened], small_full_plan: Path, tmp_path: Path) -> None:
    """Of 5,000 kernels on two wafers all are found and drawn, in a page small enough to be mailed."""
    plan = wsec.load_plan(small_full_plan)
    (phase,) = plan.record.wafers[0].phases
    target = replace(plan.record.target, grid=replace(plan.record.target.grid, width=600, height=600))

    def part(wafer: int) -> Any:
        copies = [
            replace(
                phase.kernels[0],
                name=f"w{wafer}_k{number}",
                operators=(f"w{wafer}_operator_{number}",),
                rectangle=Rectangle(12 * (number % 50), 12 * (number // 50), 12, 12),
            )
            for number in range(2500)
        ]
        return replace(plan.record.wafers[0], phases=(replace(phase, kernels=tuple(copies), links=()),))

    record = replace(
        plan.record, target=target, region_width=600, region_height=600, wafers=(part(0), part(1))
    )
    file = tmp_path / "large.html"
    write_page(file, record, estimate(record))
    assert file.stat().st_size < 15_000_000
    page, said = opened(file)
    page.fill("#search", "w1_operator_2499")
    page.wait_for_selector("#found:has-text('1 of 5,000 kernels found')")
    page.click("#kernels tbody button")
    assert page.locator("#part option:checked").inner_text() == "wafer 1, phase 0"
    assert page.evaluate("floorplan.shown.length") == 2500
    keep(page, "thousands")
    assert said == []


@pytest.mark.parametrize("look", [(1280, "light"), (400, "dark")])
def test_axe_finds_nothing_on_plain_pages(
    browser: Browser, small_full_plan: Path, small_turns_plan: Path, tmp_path: Path, look: tuple[int, Any]
) -> None:
    """The page of two plans and that of a failed compilation: contrast, labels, names, no scrolling to the side, no script."""
    from axe_playwright_python.sync_playwright import Axe

    from wsec.diffing.compare import diff_plans
    from wsec.diffing.page import diff_page

    width, scheme = look
    records = [wsec.load_plan(folder).record for folder in (small_full_plan, small_turns_plan)]
    first, second = ((record, estimate(record)) for record in records)
    failure = Failure(
        model="models/a_model_of_a_long_name.onnx",
        target="wse2",
        stages=(("import", 0.5),),
        stopped_in="placement",
        details={"placement": "interval 9, bound 5"},
        error={
            "code": "WSEC321",
            "what": "it <b>does</b> not fit",
            "where": "here",
            "expected": "9",
            "found": "10",
            "try": "less",
        },
        notes=("a note",),
        traceback="Traceback ...",
    )
    pages = {
        "diff": diff_page(diff_plans(first, second), ("first.plan", "second.plan")),
        "failure": failure_page(failure, "# WSEC321\n\nWhat it means."),
    }
    said: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        said.append(message.text)

    for name, text in pages.items():
        file = tmp_path / f"{name}.html"
        file.write_text(text, encoding="utf-8")
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.on("console", hear)
        page.goto(file.as_uri())
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        keep(page, f"{name}-{scheme}-{width}")
        page.close()
        assert said == []
