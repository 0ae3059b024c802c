"""Read a built site as a visitor would: `read_site.py FOLDER CHROMIUM`.

From the files: every link within the site has its target, and every picture a text. In the
browser, with the network cut off: every page loads without an error, its pictures and formulas
appear, its code fits, it fits a telephone, it turns dark, and the search finds what is asked for.
Exits with 1 if a check fails.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from playwright.sync_api import Browser, Page, sync_playwright

WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 390, "height": 844}
# What to search for, and the beginning of an address that one of the first five results must have.
SEARCHES = {"early_stopping": "api/skdnn.DNN", "Theorem 5.4": "paper_executed/section_5"}
# What a page says of itself once it has loaded.
LOOK = """() => ({
    pictures: [...document.querySelectorAll('article img')]
        .filter(img => img.offsetParent && img.complete && !img.naturalWidth).map(img => img.src),
    formulas: document.querySelectorAll('article .math').length,
    typeset: document.querySelectorAll('article .math mjx-container').length,
    wrong: document.querySelectorAll('mjx-merror, [data-mjx-error]').length,
    clipped: [...document.querySelectorAll('article :is(h1, h2, h3, p, li, dt)')]
        .filter(text => text.getBoundingClientRect().right > window.innerWidth + 1
            && !text.closest('.pst-scrollable-table-container')).length,
    cut: [...document.querySelectorAll('article pre')]
        .filter(code => code.scrollWidth > code.clientWidth + 1).length,
    overflow: document.documentElement.scrollWidth - window.innerWidth,
    background: getComputedStyle(document.body).backgroundColor,
    colour: getComputedStyle(document.querySelector('article') || document.body).color,
})"""


class Html(HTMLParser):
    """The anchors, links, pictures and loaded files of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.without_text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag says."""
        found = {name: value or "" for name, value in attrs}
        self.anchors.update(found[name] for name in ("id", "name") if name in found)
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in {"img", "script"} and "src" in found:
            self.loads.append(found["src"])
        if tag == "link" and found.get("rel") in {"stylesheet", "icon", "preload"}:
            self.loads.append(found.get("href", ""))
        # The small pictures of the gallery stand beside their titles, and say nothing else.
        beside_title = found.get("src", "").endswith("_thumb.png") and "alt" in found
        if tag == "img" and not found.get("alt", "").strip() and not beside_title:
            self.without_text.append(found.get("src", "?"))


def check_files(site: Path, pages: dict[str, Html]) -> Iterator[str]:
    """Yield what is wrong with the links and pictures, from the files alone."""
    for name, page in pages.items():
        for picture in page.without_text:
            yield f"{name}: {picture} has no alt text"
        for target in page.loads:
            if urlsplit(target).scheme in {"http", "https"}:
                yield f"{name}: loads {target} from the network"
        for target in page.links + page.loads:
            if urlsplit(target).scheme or target.startswith("//"):
                continue
            path, anchor = urldefrag(urljoin(name, target))
            path = unquote(urlsplit(path).path) or name
            path += "index.html" if path.endswith("/") else ""
            if not (site / path).is_file():
                yield f"{name}: {target} leads nowhere"
            elif anchor and path in pages and unquote(anchor) not in pages[path].anchors:
                yield f"{name}: {target} has no such place"


def is_dark(colour: str) -> bool:
    """Whether a colour as the browser gives it, `rgb(r, g, b)`, is nearer to black."""
    channels = [float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    return sum(channels) < 3 * 128


class Visitor:
    """A browser that remembers what went wrong on the page it is at."""

    def __init__(self, browser: Browser, address: str, **settings: object) -> None:
        self.address = address
        context = browser.new_context(**settings)  # type: ignore[arg-type]
        context.route(lambda url: not url.startswith(address), lambda route: route.abort())
        self.page: Page = context.new_page()
        self.errors: list[str] = []
        self.page.on("console", lambda m: m.type == "error" and self.errors.append(m.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("requestfailed", lambda r: self.errors.append(f"failed: {r.url}"))

    def visit(self, name: str) -> dict:
        """Load a page, wait for its formulas, scroll through it, and look."""
        self.errors.clear()
        self.page.goto(self.address + name, wait_until="load")
        if self.page.locator("article .math").count():
            self.page.wait_for_function("() => window.MathJax && MathJax.startup.promise")
            self.page.evaluate("() => MathJax.startup.promise")
        return self.page.evaluate(LOOK)


def check_page(name: str, wide: Visitor, narrow: Visitor, dark: Visitor) -> Iterator[str]:
    """Yield what is wrong with a page in the browser."""
    look = wide.visit(name)
    yield from (f"{name}: {error}" for error in wide.errors)
    yield from (f"{name}: {picture} did not load" for picture in look["pictures"])
    if look["typeset"] < look["formulas"] or look["wrong"]:
        yield f"{name}: {look['formulas'] - look['typeset'] + look['wrong']} formulas not typeset"
    if is_dark(look["background"]) or not is_dark(look["colour"]):
        yield f"{name}: is not light by day"
    if look["cut"]:
        yield f"{name}: {look['cut']} blocks of code are wider than the page"
    for visitor, size in ((wide, "wide"), (narrow, "narrow")):
        seen = look if visitor is wide else visitor.visit(name)
        if seen["overflow"] > 0:
            yield f"{name}: {seen['overflow']} pixels wider than a {size} screen"
        if seen["clipped"]:
            yield f"{name}: {seen['clipped']} texts end beyond the edge of a {size} screen"
    at_night = dark.visit(name)
    if not is_dark(at_night["background"]) or is_dark(at_night["colour"]):
        yield f"{name}: is not dark at night"


def check_search(words: str, expected: str, visitor: Visitor) -> Iterator[str]:
    """Yield what is wrong with the answer of the search to these words."""
    visitor.page.goto(visitor.address + "index.html")
    visitor.page.keyboard.press("Control+k")
    visitor.page.locator("input[type=search]:visible").first.fill(words)
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_selector("#search-results ul.search li a", timeout=20_000)
    links = visitor.page.locator("#search-results ul.search li a")
    found = [links.nth(i).get_attribute("href") or "" for i in range(min(5, links.count()))]
    if not any(link.startswith(expected) for link in found):
        yield f"the search for {words!r} found {found}"


def main() -> int:
    """Check everything, print what is wrong, and a closing line that counts."""
    site, chromium = Path(sys.argv[1]).resolve(), sys.argv[2]
    names = sorted(str(path.relative_to(site)) for path in site.rglob("*.html"))
    names = [name for name in names if not name.startswith("_static/")]
    pages = {name: Html((site / name).read_text(encoding="utf-8")) for name in names}
    wrong = list(check_files(site, pages))

    handler = partial(QuietHandler, directory=str(site))
    server = QuietServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        wide = Visitor(browser, address, viewport=WIDE, color_scheme="light")
        narrow = Visitor(browser, address, viewport=NARROW, color_scheme="light")
        dark = Visitor(browser, address, viewport=WIDE, color_scheme="dark")
        for name in names:
            wrong += check_page(name, wide, narrow, dark)
        for words, expected in SEARCHES.items():
            wrong += check_search(words, expected, wide)
        browser.close()
    server.shutdown()

    for complaint, times in Counter(wrong).items():
        print(complaint + (f" ({times} times)" if times > 1 else ""))
    failed = len({complaint.partition(":")[0] for complaint in wrong})
    print(f"{len(names) + len(SEARCHES) - failed} passed, {failed} failed")
    return 1 if wrong else 0


class QuietServer(ThreadingHTTPServer):
    """Says nothing of a visitor who leaves before a file has come."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: what did not come is an error of the page, in the browser."""


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves the files without a line for each."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    sys.exit(main())
