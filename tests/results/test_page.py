"""The page in a browser: it is whole by itself, sorts, filters and links, and stays quick with 300 runs."""

import shutil
import time
from urllib.parse import unquote, urlparse

import pytest

from results.options import Options
from results.report import report
from tests.results.synthetic import METHODS, sweep, write_run

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.xdist_group("browser"),
]
QUICK = 1.0  # seconds, many times what it takes


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """305 finished runs of two tasks, one of them with markup in its name, and a failed and an unfinished one."""
    root = tmp_path_factory.mktemp("outputs") / "a root & <more>"
    methods = (*METHODS, "snip_rigl", "random_rigl")
    assert sweep(root, methods, seeds=3, files=False) == 303
    for seed in (1, 2):
        write_run(root, "set", 0.5, seed, {"val/f1": 0.5 * seed}, task="<b>x</b>")
    failed, unfinished = (write_run(root, "dsr", 0.5, seed, {}) for seed in (1, 2))
    (failed / "result.json").write_text('{"status": "failed", "error": "<script>boom()</script>"}')
    (unfinished / "result.json").unlink()
    report(Options(root=root, compare=("gmp", "rigl"), figure=["metric_over_sparsity"]))
    return root


@pytest.fixture(scope="module")
def browser():
    quiet = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, root):
    """The page, which must neither complain nor ask for anything else."""
    said, asked = [], []
    page = browser.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    url = (root / "report" / "index.html").as_uri()
    page.goto(url)
    yield page
    page.close()
    assert said == []
    assert {one for one in asked if not one.startswith("data:")} == {url}


def column(page, name):
    """The texts of a column from top to bottom."""
    names = page.locator("#table th").all_inner_texts()
    at = next(number for number, text in enumerate(names, start=1) if text.strip(" ▲▼") == name)
    return page.locator(f"#table tbody td:nth-child({at})").all_inner_texts()


def test_rows_are_averages_with_their_runs(opened, root):
    assert opened.locator("h1").inner_text() == "305 finished runs"
    assert opened.locator("#count").inner_text() == "102 of 102 rows"
    first = opened.locator("#table tbody tr").filter(has_text="<b>x</b>").first
    cells = first.locator("td").all_inner_texts()
    assert cells[:2] == ["<b>x</b>", "tiny"]  # as text, not as markup
    assert cells[-7:-1] == ["val/f1", "0.7500", "0.3536", "[-2.4266, 3.9266]", "1.0000", "2"]


def test_sorting_by_numbers_and_by_words_either_way(opened):
    opened.get_by_role("button", name="mean", exact=True).click()
    means = list(map(float, column(opened, "mean")))
    assert means == sorted(means)
    assert opened.locator("th[aria-sort=ascending]").inner_text().startswith("mean")
    opened.get_by_role("button", name="mean").click()
    assert list(map(float, column(opened, "mean"))) == sorted(means, reverse=True)
    opened.get_by_role("button", name="method").click()
    methods = column(opened, "method")
    assert methods == sorted(methods)
    assert opened.locator("th[aria-sort]").count() == 1


def test_filters(opened):
    opened.locator("#words").fill("RIGL 0.2")
    assert set(column(opened, "method")) == {"rigl", "magnitude_rigl", "snip_rigl", "random_rigl"}
    assert set(column(opened, "sparsity")) == {"0.2"}
    assert opened.locator("#count").inner_text() == "4 of 102 rows"
    opened.locator("#words").fill("")
    opened.locator("#method").select_option("gmp")
    assert set(column(opened, "method")) == {"gmp"}
    opened.locator("#method").select_option("")
    opened.locator("#task").select_option("<b>x</b>")
    assert set(column(opened, "method")) == {"set"}
    assert opened.locator("figure:visible img").get_attribute("alt") == "metric_over_sparsity of <b>x</b>, tiny"


def test_another_metric(opened):
    opened.locator("#metric").select_option("val/loss")
    assert set(column(opened, "metric")) == {"val/loss"}
    opened.get_by_role("button", name="mean", exact=True).click()
    means = column(opened, "mean")
    assert means[-1] == ""  # the task without it comes last
    assert "" not in means[:-1]


def test_links_lead_to_run_folders(opened, root):
    links = opened.locator("#table a")
    assert links.count() == 305
    for link in (links.first, links.nth(200), opened.locator("details a").first):
        url = urlparse(link.evaluate("link => link.href"))
        folder = unquote(url.path)
        assert url.scheme == "file"
        assert folder.startswith(f"{root}/little_world_qa-tiny-") or folder.startswith(f"{root}/_b_x_b_-tiny-")
        assert (root / folder / "config.yaml").is_file()
    assert links.first.get_attribute("title").startswith("seed 1: ")


def test_failed_and_unfinished_runs_are_named(opened):
    opened.locator("summary", has_text="1 failed").click()
    assert "<script>boom()</script>" in opened.locator("details[open]").inner_text()
    assert opened.locator("summary", has_text="1 unfinished").count() == 1


def test_figures_and_comparisons_are_in_the_page(opened, root):
    images = opened.locator("figure img")
    assert images.count() == 2
    images.first.scroll_into_view_if_needed()
    assert images.first.evaluate("image => image.complete && image.naturalWidth > 300")
    assert opened.locator("#comparisons tbody tr").count() == 10
    for link in opened.locator("figcaption a").all():
        assert (root / "report" / unquote(link.get_attribute("href"))).is_file()


def test_it_is_quick(opened):
    start = time.perf_counter()
    opened.reload()
    opened.locator("#words").fill("gmp")
    opened.get_by_role("button", name="mean", exact=True).click()
    assert opened.locator("#count").inner_text() == "10 of 102 rows"
    assert time.perf_counter() - start < 10 * QUICK
    spent = opened.evaluate("() => { const start = performance.now(); show(); return performance.now() - start; }")
    assert spent < 1000 * QUICK
