"""The playground in a real browser: as a newcomer uses it, and with nothing but the server's own files."""

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from evaluation.demo.checkpoint import GRID_PINPOINTS, PATCH
from evaluation.scenes.scene import CROP
from gprune_server import playground
from gprune_vllm.defaults import METHOD
from gprune_vllm.families.anyres import plan_tokens
from gprune_vllm.plan import PruneSpec
from tests.support import photos
from tests.support.servers import API_KEY, Server
from tests.support.tools import ROOT, require
from tests.support.waiting import wait_until

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
SCREENSHOTS = ROOT / ".cache" / "screenshots"

expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=require("chromium"), args=QUIET)
        yield started
        started.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(viewport={"width": 1100, "height": 900})
    opened.set_default_timeout(60_000)
    yield opened
    opened.close()


class Visit:
    """A visit of the page, with what it asked for and complained of."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.expected: set[str] = set()
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(status in message.text for status in self.expected):
            self.complaints.append(message.text)

    def open(self) -> Page:
        self.page.goto(f"{self.url}/playground")
        return self.page

    def open_with_key(self) -> Page:
        """Opened, and the key given that is asked for."""
        self.expected.add("401")
        self.open()
        expect(self.page.get_by_role("alert")).to_contain_text("API key")
        self.page.get_by_label("Key, if").fill(API_KEY)
        self.page.keyboard.press("Enter")
        expect(self.page.locator("#model")).to_have_text("gprune-demo")
        return self.page


@pytest.fixture
def visit(context: BrowserContext, demo_server: Server) -> Iterator[Visit]:
    visited = Visit(context.new_page(), demo_server.url)
    yield visited
    assert visited.complaints == []
    assert all(url.startswith((demo_server.url, "data:")) for url in visited.requests)


def choose(page: Page, sample: str = "sign") -> None:
    page.get_by_role("button", name=f"Sample {sample}").click()
    expect(page.locator("#total")).to_contain_text("visual tokens kept")


def slide(page: Page, ratio: float) -> None:
    page.get_by_label("Pruned:").fill(str(ratio))


def kept(page: Page) -> int:
    return int(page.locator("#total").inner_text().split()[0])


def grid_tokens(size: tuple[int, int]) -> int:
    """Patch tokens of the crops of a picture of this width and height."""
    return plan_tokens(size[::-1], GRID_PINPOINTS, CROP, PATCH, PruneSpec()).groups[1].tokens


def dark_fraction(page: Page, canvas: str) -> float:
    """Fraction of a canvas that is greyed out."""
    url = page.evaluate("(id) => document.getElementById(id).toDataURL()", canvas)
    image = Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB")
    return float((np.asarray(image).max(axis=-1) < 76).mean())


def test_a_newcomer_sees_the_effect_of_the_ratio(visit: Visit) -> None:
    page = visit.open_with_key()
    choose(page)
    slide(page, 0)
    expect(page.locator("#total")).to_have_text("336 of 336 visual tokens kept, newlines included.")
    before = {name: dark_fraction(page, name) for name in ("base", "grid")}
    slide(page, 0.9)
    expect(page.locator("#total")).to_contain_text("of 336")
    assert kept(page) < 60
    for name, fraction in before.items():
        assert dark_fraction(page, name) > fraction + 0.5
    page.get_by_role("button", name="Ask both ways").click()
    expect(page.locator("#full-facts")).to_contain_text("346")
    expect(page.locator("#pruned-answer")).to_have_text("PEZZU")
    expect(page.locator("#full-answer")).to_have_text("PEZZU")
    expect(page.locator("#pruned-facts")).to_contain_text(str(kept(page)))
    for name in ("pruned", "full"):
        assert re.search(r"First token\s*\d+\.\d\d s", page.locator(f"#{name}-facts").inner_text())
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "playground.png", full_page=True)


def test_a_model_whose_tokens_are_one_group_is_shown_too(context: BrowserContext, qwen_demo_server: Server) -> None:
    page = Visit(context.new_page(), qwen_demo_server.url).open_with_key()
    choose(page)
    slide(page, 0)
    before = dark_fraction(page, "image")
    slide(page, 0.7)
    assert kept(page) < 0.35 * int(page.locator("#total").inner_text().split()[2])
    assert dark_fraction(page, "image") > before + 0.4
    page.get_by_role("button", name="Ask both ways").click()
    expect(page.locator("#pruned-answer")).to_have_text("PEZZU")
    expect(page.locator("#full-answer")).to_have_text("PEZZU")
    expect(page.locator("#pruned-facts")).to_contain_text(str(kept(page)))


def test_methods_are_those_of_the_server_and_change_what_stays(visit: Visit) -> None:
    page = visit.open_with_key()
    choose(page, "shapes")
    methods = page.get_by_label("Method").locator("option").all_inner_texts()
    assert methods[0] == METHOD
    assert {"divprune", "l2norm", "random"} <= set(methods)
    before = page.locator("#grid").screenshot()
    with page.expect_response("**/v1/visual_tokens"):
        page.get_by_label("Method").select_option("l2norm")
    wait_until(lambda: page.locator("#grid").screenshot() != before)


def test_pictures_are_chosen_dropped_and_pasted(visit: Visit, tmp_path: Path) -> None:
    page = visit.open_with_key()
    photos.china().save(tmp_path / "china.jpg")
    page.get_by_label("Choose a picture").set_input_files(tmp_path / "china.jpg")
    expect(page.locator("#grid-count")).to_contain_text(f"of {grid_tokens(photos.china().size)} tokens")
    give = """([kind, width, height]) => {
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [width, height];
        canvas.getContext("2d").fillRect(0, 0, 50, 50);
        return new Promise((resolve) => canvas.toBlob((blob) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([blob], "picture.png", { type: "image/png" }));
            const target = kind === "drop" ? document.getElementById("drop") : document;
            target.dispatchEvent(kind === "drop"
                ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
                : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true }));
            resolve();
        }));
    }"""
    for kind, size in (("drop", (300, 100)), ("paste", (100, 100))):
        page.evaluate(give, [kind, *size])
        expect(page.locator("#grid-count")).to_contain_text(f"of {grid_tokens(size)} tokens")


def test_a_bad_file_is_explained(visit: Visit, tmp_path: Path) -> None:
    page = visit.open_with_key()
    visit.expected.add("400")
    alert = page.locator("#error")
    (tmp_path / "notes.txt").write_text("no picture")
    page.get_by_label("Choose a picture").set_input_files(tmp_path / "notes.txt")
    expect(alert).to_have_text("This is not a picture.")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    page.get_by_label("Choose a picture").set_input_files(tmp_path / "broken.png")
    expect(alert).to_have_text("This is not a picture that the browser can show.")
    photos.generated(2, 400).save(tmp_path / "thin.png")
    page.get_by_label("Choose a picture").set_input_files(tmp_path / "thin.png")
    expect(alert).to_contain_text("its longer side may be at most 100 times its shorter side")
    choose(page)
    expect(alert).to_be_empty()


def test_the_keyboard_is_enough(visit: Visit) -> None:
    page = visit.open_with_key()
    names = []
    page.locator("#file").focus()
    for _ in range(8):
        names.append(page.evaluate("document.activeElement.id || document.activeElement.firstChild.alt"))
        if names[-1] == "Sample sign":
            page.keyboard.press("Enter")
            expect(page.locator("#total")).to_contain_text("visual tokens kept")
        if names[-1] == "ratio":
            before = kept(page)
            page.keyboard.press("ArrowRight")
            assert kept(page) < before
        if names[-1] == "question":
            page.keyboard.press("Enter")
            expect(page.locator("#full-answer")).to_have_text("PEZZU")
        page.keyboard.press("Tab")
    assert names[:7] == ["file", "Sample sign", "Sample shapes", "Sample panorama", "ratio", "method", "question"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(browser: Browser, demo_server: Server, scheme: Any) -> None:
    phone = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page = Visit(phone.new_page(), demo_server.url).open_with_key()
    choose(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground))) < 380) == (scheme == "dark")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"phone-{scheme}.png", full_page=True)
    phone.close()


def test_files_come_with_a_strict_policy_and_nothing_else_comes(demo_server: Server) -> None:
    for path in playground.PATHS:
        answer = httpx.get(demo_server.url + path, timeout=30)
        assert answer.status_code == 200
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
        assert answer.headers["Content-Type"].split(";")[0] in ("text/html", "text/css", "text/javascript", "image/png")
    headers = {"Authorization": f"Bearer {API_KEY}"}
    for path in ("/playground/index.html", "/playground/__init__.py", "/playground/..%2fplugin.py"):
        assert httpx.get(demo_server.url + path, timeout=30).status_code == 401
        assert httpx.get(demo_server.url + path, headers=headers, timeout=30).status_code == 404


def test_without_its_flag_there_is_no_page(server: Server) -> None:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    assert httpx.get(f"{server.url}/playground", headers=headers, timeout=30).status_code == 404
