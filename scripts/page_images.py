"""Makes docs/images/page-*.png: examines files of examples/ on a server of its own and photographs its pages in Chromium.

python scripts/page_images.py
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
COLOURS = (200, 128, 80, 48)  # a palette keeps a screenshot small; the largest that does is taken
MOST = 190_000  # bytes
PATIENCE = 900_000  # milliseconds for an examination on a busy machine


def photograph(page: Page, name: str) -> None:
    """Save what the browser shows."""
    path = IMAGES / f"page-{name}.png"
    page.wait_for_timeout(800)
    page.screenshot(path=path)
    with Image.open(path) as opened:
        taken = opened.convert("RGB")
    for colours in COLOURS:
        taken.quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size <= MOST:
            break
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e3:.0f} kB")


def main() -> int:
    """Make all pictures."""
    browser_path = shutil.which("chromium")
    if browser_path is None:
        print("no Chromium on this machine", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        words = [sys.executable, "-m", "veriscope.cli", "serve", "--port", "0", "--no-browser", "--workers", "1"]
        server = subprocess.Popen(
            [*words, "--data", data], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            assert server.stdout is not None
            said = re.search(r"http://\S+", server.stdout.readline())
            assert said is not None
            browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
            take(browser, said[0])
            browser.close()
        finally:
            server.terminate()
            server.wait(60)
    return 0


def take(browser: object, address: str) -> None:
    """Open a case and photograph each page."""
    desk = {"width": 1200, "height": 900}
    context = browser.new_context(viewport=desk, color_scheme="light")  # type: ignore[attr-defined]
    page = context.new_page()
    page.goto(address)
    files = [ROOT / "examples" / name for name in ("spliced.jpg", "credentials.jpg", "phone_cropped.jpg")]
    page.set_input_files("#pictures", files)
    page.fill("#title", "Coffee cup with an eye, sent by a reader")
    page.get_by_role("button", name="Examine").click()
    page.wait_for_url("**/cases/*")
    page.wait_for_selector("text=still under way", state="detached", timeout=PATIENCE)
    case = page.url
    page.fill("#text", "Came by e-mail on Monday. The sender says that it was taken in Lyon.")
    page.get_by_role("button", name="Save the note").click()
    page.goto(case)
    photograph(page, "case")
    page.locator(".pictures h3 a").first.click()
    page.wait_for_load_state()
    picture = page.url
    photograph(page, "picture-light")
    page.check("#map-1", force=True)
    page.check("#curtain")
    page.evaluate("document.getElementById('curtain-place').value = 22")
    page.locator("#curtain-place").dispatch_event("input")
    page.locator("[data-viewer]").scroll_into_view_if_needed()
    page.evaluate("document.querySelector('[data-viewer]').scrollIntoView()")
    photograph(page, "curtain")
    page.focus("[data-stage]")
    for _ in range(4):
        page.keyboard.press("+")
    photograph(page, "pixels")
    dark = browser.new_context(viewport=desk, color_scheme="dark")  # type: ignore[attr-defined]
    page = dark.new_page()
    page.goto(case)
    page.locator(".pictures h3 a").nth(1).click()
    page.wait_for_load_state()
    photograph(page, "picture-dark")
    phone = browser.new_context(  # type: ignore[attr-defined]
        viewport={"width": 390, "height": 844}, color_scheme="light", has_touch=True, is_mobile=True
    )
    page = phone.new_page()
    page.goto(picture)
    photograph(page, "phone")
    page = context.new_page()
    page.goto(address)
    photograph(page, "start")


if __name__ == "__main__":
    raise SystemExit(main())
