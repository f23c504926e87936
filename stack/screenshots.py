"""Pictures of the pages as they are: `python -m stack.screenshots LINK FOLDER /projects/1/queue ...`

LINK is a one-time link (`nextlabel admin-link`), which makes an account for the pictures. Each path becomes a PNG of
1280 x 900 px; with Debian's Chromium.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import sync_playwright  # of the tests alone

CHROMIUM = "/usr/bin/chromium"


def main(link: str, folder: Path, paths: list[str]) -> None:
    """Logs in by the link and takes a picture of each path."""
    folder.mkdir(parents=True, exist_ok=True)
    address = "{0.scheme}://{0.netloc}".format(urlsplit(link))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(60_000)
        page.goto(link)
        page.fill("input[name=name]", f"pictures-{secrets.token_hex(3)}")
        password = secrets.token_urlsafe(16)
        for field in page.locator("input[type=password]").all():
            field.fill(password)
        page.click("main button")
        page.wait_for_url(lambda url: "/link/" not in url)
        for path in paths:
            page.goto(address + path, wait_until="networkidle" if "video" in path else "load")
            page.evaluate("Promise.all([...document.images].slice(0, 9).map(image => image.decode().catch(() => 0)))")
            page.screenshot(path=folder / f"{path.strip('/').replace('/', '-') or 'projects'}.png")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
