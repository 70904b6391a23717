"""Somebody uses the page, on a desktop and on a phone: a real server, driven by Chromium."""

import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest
from demo_models import make_recommender

pytest.importorskip("gradio", reason="gradio (extra [demo]) is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def running(*flags):
    """Start the page in a process of its own, and yield the process and the page's address."""
    command = [sys.executable, "-m", "seqrec.cli", "demo", "--device", "cpu", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        found = re.search(r"The page is at (http://\S+)", line)
        assert found, (line, process.stderr.read() if process.poll() is not None else "")
        yield process, found[1]
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a model."""
    path = tmp_path_factory.mktemp("page") / "films"
    make_recommender().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def server(folder):
    """The process of a page, and the page's address."""
    with running("--model", str(folder), "--port", "0") as found:
        yield found


@pytest.fixture(scope="module")
def address(server):
    """The address of the page of a model."""
    return server[1]


@pytest.fixture(scope="module")
def browser():
    """A browser without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as running_playwright:
        yield running_playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=["desktop", "phone"])
def page(request, browser, address):
    """The page, with the addresses that it asked elsewhere and the errors of its scripts."""
    width, height = request.param
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(20_000)
    page.elsewhere, page.script_errors = [], []
    page.on("request", lambda one: page.elsewhere.append(one.url))
    page.on("pageerror", lambda error: page.script_errors.append(error))
    page.goto(address)
    page.wait_for_selector("#recommended li")
    yield page
    assert [url for url in page.elsewhere if not url.startswith((address, "data:", "blob:"))] == []
    assert page.script_errors == []
    page.close()


def add(page, query, name):
    """Search for an item, and click it."""
    before = page.locator("#history .sr-event").count()
    page.fill("#search input, #search textarea", query)
    page.locator("#found button", has=page.get_by_text(name, exact=True)).click()
    page.locator("#history .sr-event").nth(before).wait_for()


def recommended(page):
    return page.locator("#recommended .sr-item .sr-name").all_inner_texts()


def changed(page, action):
    """Do something, wait until the recommended items change, and return them."""
    before = recommended(page)
    action()
    page.wait_for_function(
        "before => { const names = [...document.querySelectorAll('#recommended .sr-item .sr-name')]"
        ".map(one => one.innerText); return names.length && names.join('|') !== before; }",
        arg="|".join(before),
    )
    return recommended(page)


def test_somebody_uses_the_page(page, folder):
    assert page.locator("h1").inner_text() == "films"
    assert recommended(page)[:2] == ["Title 0", "Title 1"]  # popular ones
    for query, name in (("title 7", "Title 7"), ("30", "Title 30"), ("TITLE-12", "Title 12")):
        add(page, query, name)
    assert page.locator("#history .sr-name").all_inner_texts() == ["Title 7", "Title 30", "Title 12"]
    best = recommended(page)
    assert len(best) == 10

    length = page.get_by_label("number input for Length")
    assert len(changed(page, lambda: (length.fill("1000"), length.press("Tab")))) == 37  # all that were not clicked
    assert changed(page, lambda: (length.fill("10"), length.press("Tab"))) == best

    page.get_by_label("Give reasons").check()
    page.locator(".sr-reason").first.wait_for()
    assert re.match(r"[123]\. Title (7|30|12) \+\d", page.locator(".sr-reason").first.inner_text())

    slider = page.get_by_label("range slider for Diversity")
    slider.focus()
    diverse = changed(page, lambda: [page.keyboard.press("ArrowRight") for _ in range(9)])
    assert diverse != best

    page.get_by_role("button", name="Filter and columns").click()
    where = page.get_by_label("Only items where")
    assert len(changed(page, lambda: (where.fill("'Horror' in genres and year < 2005"), where.press("Enter")))) < 10
    where.fill("yaer > 1")
    where.press("Enter")
    problem = page.get_by_role("alert")
    problem.wait_for()
    assert "no column 'yaer'" in problem.inner_text()
    assert "Traceback" not in page.content()
    where.fill("")
    where.press("Enter")
    problem.wait_for(state="detached")

    similar = page.locator("#recommended button[data-act=list]").first
    similar.click()
    page.locator("#recommended .sr-similar li").first.wait_for()
    assert page.locator("#recommended .sr-similar li").count() == 8
    page.get_by_label("Remove Title 30, event 2").click()
    page.locator("#history .sr-event").nth(2).wait_for(state="detached")
    assert page.locator("#history .sr-name").all_inner_texts() == ["Title 7", "Title 12"]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_keyboard_suffices(page):
    page.focus("#search input, #search textarea")
    page.keyboard.type("title 5")
    page.locator("#found li:first-child button", has=page.get_by_text("Title 5", exact=True)).wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Add Title 5 to the history"
    page.keyboard.press("Enter")
    page.locator("#history .sr-event").wait_for()
    page.wait_for_function("document.activeElement.getAttribute('aria-label') === 'Add Title 5 to the history'")
    names = []
    for _ in range(60):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.getAttribute('aria-label') || ''"))
    wanted = ["Items similar to Title 5", "Remove Title 5, event 1", "range slider for Diversity"]
    assert [name for name in names if name in wanted][:3] == wanted


def test_a_port_in_use_is_one_sentence(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "seqrec.cli", "demo", "--model", str(folder), "--port", port]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr == (
        f"seqrec demo: Port {port} of 127.0.0.1 is in use. Stop the program that uses it, or choose another with "
        "--port.\n"
    )


def test_ctrl_c_ends_the_page(server):  # the last test: it ends the server of all others
    process, _ = server
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert told.strip() == "seqrec demo: interrupted."
