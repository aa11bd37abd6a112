"""The built book and a report, in headless Chromium: nothing from other hosts, no error, and every page fits a phone."""
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from chapters import NOTEBOOKS, ROOT
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

PHONE, DESK = 390, 1280
PAGES = [*NOTEBOOKS, "glossary", "responsible_use", "bibliography"]
KNOWN = "THEBE_JS_URL"  # jupyter-book 1 loads sphinx-thebe twice; harmless
FOREIGN = re.compile(r"<(?:script|link|img|iframe|source|video|audio)\b[^>]*?\b(?:src|href|srcset)\s*=\s*[\"']?(?:https?:)?//[^>]*>", re.I)
STYLE = re.compile(r"@import\s+[\"']?(?:url\()?[\"']?(?:https?:)?//|url\(\s*[\"']?(?:https?:)?//", re.I)
NARROW = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
TOO_WIDE = """return [...(document.querySelector('.bd-article') || document.body).querySelectorAll('img, svg')].filter(e =>
  e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(e => e.outerHTML.slice(0, 120))"""
BROKEN = "return [...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src.slice(0, 120))"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args): pass


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode: pytest.fail(done.stdout + done.stderr, pytrace=False)


@pytest.fixture(scope="session")
def book():
    "The folder of the built book; building it again is quick when nothing changed"
    run("bash", ROOT / "tools" / "book.sh")
    return ROOT / "build" / "book" / "_build" / "html"


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    "A folder with the report of a small run"
    out = tmp_path_factory.mktemp("report")
    run(Path(sys.executable).with_name("drlit"), "bench", "--attacks", "null_noise,null_class_mean", "--sizes", "20", "--metrics", "mse", "--out", out)
    return out


@pytest.fixture(scope="session")
def chromium():
    driver, browser = shutil.which("chromedriver"), shutil.which("chromium")
    assert driver and browser, "the page tests need Chromium: apt-get install chromium chromium-driver fonts-dejavu"
    options = Options()
    options.binary_location = browser
    for arg in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"):
        options.add_argument(arg)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    yield browser
    browser.quit()


@pytest.fixture(scope="session")
def serve():
    "Serve a folder on this machine: serve(folder) -> its address"
    servers = []

    def start(folder):
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=os.fspath(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"
    yield start
    for server in servers: server.shutdown()


def visit(browser, url, width):
    "Open a page at a width and wait until it is drawn: (addresses requested, console errors)"
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600})
    for kind in ("performance", "browser"): browser.get_log(kind)
    browser.get(url)
    WebDriverWait(browser, 30).until(lambda b: b.execute_script(
        "return document.readyState === 'complete' && (!window.MathJax || !MathJax.startup || !MathJax.startup.promise || "
        "(window.drawn === undefined && (window.drawn = false, MathJax.startup.promise.then(() => window.drawn = true)), window.drawn === true))"))
    events = [json.loads(e["message"])["message"] for e in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    errors = [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]
    return asked, errors


def check(browser, url, width):
    asked, errors = visit(browser, url, width)
    here = url.rsplit("/", 1)[0]
    assert url in asked
    assert not [a for a in asked if not a.startswith((here, "data:", "blob:"))], "requests to other hosts"
    assert not [e for e in errors if KNOWN not in e and "favicon" not in e]
    assert browser.execute_script(NARROW) <= 0, f"the page scrolls sideways at {width} px"
    assert browser.execute_script(TOO_WIDE) == [], f"pictures wider than the page at {width} px"
    assert browser.execute_script(BROKEN) == []


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("page", PAGES)
def test_page(page, width, book, chromium, serve_book):
    check(chromium, f"{serve_book}/{page}.html", width)


@pytest.fixture(scope="session")
def serve_book(book, serve):
    return serve(book)


def test_equations_and_citations_are_drawn(book, chromium, serve_book):
    "The glossary is full of mathematics and cites the paper"
    visit(chromium, f"{serve_book}/glossary.html", DESK)
    assert chromium.execute_script("return document.querySelectorAll('mjx-container').length") > 20
    assert "Wen" in chromium.execute_script("return document.querySelector('article').innerText")


@pytest.mark.parametrize("page", NOTEBOOKS)
def test_colab_button(page, book):
    "Every chapter opens in Colab from the repository that pyproject.toml names"
    address = re.search(r'^Repository = "https://([^"]+)"', (ROOT / "pyproject.toml").read_text(), re.M)[1]
    html = (book / f"{page}.html").read_text(encoding="utf-8")
    assert f"https://colab.research.google.com/{address.replace('.com', '')}/blob/main/nbs/{page}.ipynb" in html


def test_no_page_names_another_host(book):
    "Also what no visit triggers: scripts, styles, pictures and frames of every page and style sheet"
    wrong = [f"{p.name}: {m[0][:160]}" for p in book.rglob("*.html") for m in FOREIGN.finditer(p.read_text(encoding="utf-8")) if 'rel="canonical"' not in m[0]]
    wrong += [f"{p.name}: {m[0]}" for p in book.rglob("*.css") for m in STYLE.finditer(p.read_text(encoding="utf-8"))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_report(width, report, chromium, serve):
    check(chromium, f"{serve(report)}/report.html", width)


def test_report_is_one_file(report):
    "It can be mailed: pictures and styles are inside, nothing is fetched"
    html = (report / "report.html").read_text(encoding="utf-8")
    assert not FOREIGN.findall(html) and not STYLE.findall(html)
    assert not re.findall(r"<(?:script|img)\b[^>]*\bsrc=[\"'](?!data:)[^>]*>|<link\b[^>]*stylesheet[^>]*>", html)


@pytest.mark.parametrize("html, found", [
    ('<script src="https://cdn.x/y.js"></script>', 1), ("<img src='//x.org/a.png'>", 1), ('<link href=https://x.org/a.css rel=stylesheet>', 1),
    ('<a href="https://x.org">', 0), ('<img src="_images/a.png">', 0), ('<img src="data:image/png;base64,//8=">', 0),
    ('<script>f("https://x.org")</script>', 0),
])
def test_the_search_for_other_hosts(html, found):
    assert len(FOREIGN.findall(html)) == found


HEAD = "return [...document.querySelector('table.sortable').tHead.rows[0].cells].map(c => c.textContent)"
ROWS = "return [...document.querySelector('table.sortable').tBodies[0].rows].filter(r => !r.hidden).map(r => [...r.cells].map(c => c.textContent))"
VISIBLE = "return [...document.querySelectorAll('.rows tbody tr')].filter(r => r.offsetParent !== null).map(r => [r.dataset.attack, r.dataset.control, r.dataset.metric])"


def test_report_sorts_by_its_headers(report, chromium, serve):
    "By mouse and by keyboard: up, down, and back to the order of reading; what has no number stays last"
    visit(chromium, f"{serve(report)}/report.html", DESK)
    start, gap = chromium.execute_script(ROWS), chromium.execute_script(HEAD).index("held-out")
    button = chromium.find_elements(By.CSS_SELECTOR, "table.sortable th button")[gap]
    def state():
        rows = [r[gap] for r in chromium.execute_script(ROWS)]
        return [float(v) for v in rows if v], rows, button.find_element(By.XPATH, "..").get_attribute("aria-sort")
    button.click()
    numbers, rows, said = state()
    assert len(numbers) >= 2 and numbers == sorted(numbers) and said == "ascending" and rows[-1] == ""
    button.send_keys(Keys.ENTER)
    numbers, rows, said = state()
    assert numbers == sorted(numbers, reverse=True) and said == "descending" and rows[-1] == ""
    button.send_keys(Keys.SPACE)
    assert chromium.execute_script(ROWS) == start and state()[2] is None


def test_report_filters_its_rows(report, chromium, serve):
    "By attack, control, metric and words, together; tables without a row disappear; `show all` brings everything back"
    visit(chromium, f"{serve(report)}/report.html", DESK)
    form, every = chromium.find_element(By.ID, "filter"), chromium.execute_script(VISIBLE)
    pick = lambda name, value: Select(form.find_element(By.NAME, name)).select_by_value(value)
    pick("attack", "null_noise")
    assert chromium.execute_script(VISIBLE) == [r for r in every if r[0] == "null_noise"] != every
    assert chromium.execute_script("return [...document.querySelectorAll('.grid tr')].filter(r => r.offsetParent !== null).map(r => r.dataset.attack)") == [None, "null_noise"]
    pick("metric", "mse"), pick("control", "none")
    assert set(map(tuple, chromium.execute_script(VISIBLE))) == {("null_noise", "none", "mse")}
    text = form.find_element(By.NAME, "text")
    text.send_keys("no such words", Keys.ENTER)  # Enter sends no form and loads no page
    assert chromium.execute_script(VISIBLE) == [] and form.find_element(By.TAG_NAME, "output").text == f"0 of {len(every)} rows"
    assert chromium.execute_script("return [...document.querySelectorAll('.rows')].every(s => s.hidden)")
    form.find_element(By.CSS_SELECTOR, "button[type=reset]").click()
    WebDriverWait(chromium, 5).until(lambda b: b.execute_script(VISIBLE) == every)


def test_the_policy_of_a_report_stops_what_is_not_ours(report, chromium, serve, tmp_path):
    "The second wall: a script, a handler, a style and a picture that came past the template do nothing; sorting still works"
    html = (report / "report.html").read_text(encoding="utf-8")
    bad = "<script>window.hit = 1</script><img src=x onerror='window.hit = 2'><p id='odd' style='color: rgb(1, 2, 3)'>"
    (tmp_path / "report.html").write_text(html.replace("<h1>", f"{bad}<h1>", 1), encoding="utf-8")
    _, errors = visit(chromium, f"{serve(tmp_path)}/report.html", DESK)
    assert sum("Content Security Policy" in e for e in errors) >= 4
    assert chromium.execute_script("return window.hit || null") is None
    assert chromium.execute_script("return getComputedStyle(document.getElementById('odd')).color") != "rgb(1, 2, 3)"
    chromium.find_elements(By.CSS_SELECTOR, "table.sortable th button")[0].click()
    assert chromium.execute_script("return document.querySelector('th[aria-sort]').getAttribute('aria-sort')") == "ascending"
