"""The pages in a real browser: dropped pictures, keys alone, screen readers' rules, phones, hostile files, no network."""
# ruff: noqa: E402 (what a skip depends on is looked for first)

import base64
import contextlib
import shutil
import threading
import time

import pytest

pytest.importorskip("fastapi", reason="needs the extra: server")
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python")

import uvicorn
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from tests.reporting import samples
from tests.server import filling
from tests.server.conftest import PHOTOGRAPH
from veriscope.server.app import create_app
from veriscope.server.settings import Settings
from veriscope.server.study_store import Facts, MachineAnswer, Stimulus, Study
from veriscope.server.worker import Worker

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PATIENCE = 120_000  # milliseconds: other work may hold the machine
PHONE = {"width": 390, "height": 844}


class Server:
    """A server in a thread, and its service."""

    def __init__(self, data):
        self.app = create_app(Settings(data=data, workers=0, port=0, quick=True, warm=False))
        self.service = self.app.state.service
        self.uvicorn = uvicorn.Server(uvicorn.Config(self.app, host="127.0.0.1", port=0, log_level="error"))
        self.thread = threading.Thread(target=self.uvicorn.run, daemon=True)
        self.thread.start()
        while not self.uvicorn.started:
            time.sleep(0.02)
        self.url = f"http://127.0.0.1:{self.uvicorn.servers[0].sockets[0].getsockname()[1]}"

    @contextlib.contextmanager
    def working(self):
        """Let waiting jobs be done by a thread."""
        stop = threading.Event()

        def work():
            worker = Worker(self.app.state.settings, "test")
            while not stop.is_set():
                if not worker.once():
                    stop.wait(0.05)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(60)

    def stop(self):
        self.uvicorn.should_exit = True
        self.thread.join(20)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server(tmp_path_factory.mktemp("served"))
    service = made.service
    made.case = service.cases.create("Market at dawn", "Ada")
    made.edited = filling.add(service, made.case, samples.edited())
    made.generated = filling.add(service, made.case, samples.generated())
    service.cases.add_note(made.case, "Sent by a reader.\nTaken in Lyon, they say.", "Ada")
    service.cases.add_pictures(made.case, [filling.upload(service, "broken.jpg", b"no picture")], "Ada")
    made.broken = filling.fail(service, "broken.jpg: text, not a picture")
    made.hostile_case = service.cases.create(samples.HOSTILE_STRINGS["end"], samples.HOSTILE_STRINGS["script"])
    made.hostile = filling.add(service, made.hostile_case, samples.hostile())
    made.study = a_study(made.service.data)
    yield made
    made.stop()


def a_study(data):
    """A study of six pictures, three of them "generated", of which one person has answered all."""
    folder = data / "studies" / "abcdefghij"
    (folder / "pictures").mkdir(parents=True)
    stimuli = []
    for number in range(6):
        name, label = f"{number:016x}", "generated" if number % 2 else "real"
        Image.new("RGB", (320, 240), (40 * number, 90, 120)).save(folder / "pictures" / f"{name}.jpg")
        stimuli.append(Stimulus(name, label, "a source", "", number > 3, False, 320, 240, "0" * 64))
    said = [MachineAnswer(one.id, "veriscope", 1.0, "cannot tell") for one in stimuli]
    facts = Facts("abcdefghij", "Real or generated?", "2026-11-24", 6, 0, "", "pictures.csv", 0, {})
    study = Study.make(folder, facts, stimuli, said)
    person = study.participant(study.begin())
    for one in person.shown:
        study.answer(person, one, "real", 1, 1500)
    return study


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, server):
    """Opens pages; at the end none has left the host, broken the content policy, or met an error in a script."""
    contexts, wrong = [], []

    def open_page(path="/", **options):
        options = {"viewport": {"width": 1200, "height": 900}, "accept_downloads": True} | options
        context = chromium.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on(
            "request", lambda request: wrong.append(request.url) if not request.url.startswith(server.url) else None
        )
        page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
        page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
        page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
        page.goto(server.url + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong


def picture_path(server, picture=None):
    return f"/cases/{server.case}/pictures/{picture or server.edited}"


def every_page(server):
    case, picture = f"/cases/{server.case}", picture_path(server)
    hostile = f"/cases/{server.hostile_case}"
    return [
        *("/", "/cases", "/cases?q=nothing-like-this", "/login", "/users", "/audit", "/no-such-page"),
        *(case, f"{case}/delete", picture, picture_path(server, server.generated), picture_path(server, server.broken)),
        *("/study", "/study/abcdefghij", "/study/abcdefghij/results", "/study/abcdefghij/delete"),
        *(f"{picture}/delete", hostile, f"{hostile}/pictures/{server.hostile}"),
    ]


def test_a_chosen_picture_becomes_a_report_that_the_page_goes_to_by_itself(opened, server):
    page = opened("/")
    page.set_input_files("#pictures", PHOTOGRAPH)
    with server.working():
        page.get_by_role("button", name="Examine").click()
        page.wait_for_selector(".briefs", timeout=240_000)
    for title in ("What the file declares", "Where it has been", "What the pixels suggest"):
        assert page.locator(".brief h2", has_text=title).count() == 1
    assert page.locator(".state", has_text="Not compared").count() == 1
    assert page.locator("[data-stage] img.photo").first.evaluate("image => image.naturalWidth") == 600


def test_dropped_and_pasted_pictures_are_sent(opened, server):
    data = base64.b64encode(PHOTOGRAPH.read_bytes()).decode()
    make = """([data, names]) => {
      const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
      const transfer = new DataTransfer();
      names.forEach((name) => transfer.items.add(new File([bytes], name, { type: "image/jpeg" })));
      return transfer;
    }"""
    page = opened("/")
    transfer = page.evaluate_handle(make, [data, ["one.jpg", "two.jpg"]])
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    page.wait_for_url("**/cases/*")
    assert page.locator(".pictures h3").all_inner_texts() == ["one.jpg", "two.jpg"]
    page = opened("/")
    transfer = page.evaluate_handle(make, [data, ["pasted.jpg"]])
    page.evaluate(
        "(transfer) => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: transfer, bubbles: true }))",
        transfer,
    )
    page.wait_for_url("**/pictures/*")
    assert "pasted.jpg" in page.inner_text(".kicker")
    for _ in range(3):
        filling.finish(server.service, samples.edited(), samples_pixels())


def samples_pixels():
    import cv2

    return cv2.imread(str(PHOTOGRAPH))[:, :, ::-1]


def test_progress_is_told_as_it_happens(opened, server):
    service = server.service
    case = service.cases.create("Two that wait", "Ada")
    uploads = [filling.upload(service, f"{number}.jpg", PHOTOGRAPH.read_bytes()) for number in range(2)]
    service.cases.add_pictures(case, uploads, "Ada")
    page = opened(f"/cases/{case}")
    assert page.locator(".state", has_text="Waiting").count() == 2
    claim = service.queue.claim("test")
    service.queue.renew(claim, "double_quantisation")
    page.wait_for_selector("text=double_quantisation", timeout=15_000)
    filling.finish(service, samples.edited(), samples_pixels(), claim)
    page.wait_for_selector("text=1 still under way", timeout=15_000)
    filling.finish(service, samples.edited(), samples_pixels())
    page.wait_for_selector(f"text={samples.edited().headline[:40]}", timeout=15_000)
    assert not page.locator("[data-summary]").count()


def test_keys_alone_zoom_move_choose_a_map_and_draw_the_curtain(opened, server):
    page = opened(picture_path(server))
    keys = page.keyboard
    keys.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    keys.press("Enter")
    for _ in range(60):
        keys.press("Tab")
        if page.evaluate("document.activeElement.hasAttribute('data-stage')"):
            break
    zoom = page.locator("[data-zoom-value]")
    assert zoom.inner_text() == "fit"
    for _ in range(6):
        keys.press("+")
    assert int(zoom.inner_text().split()[0]) > 300
    assert (
        page.locator(".stage .photo").first.evaluate("image => getComputedStyle(image).imageRendering") == "pixelated"
    )
    page.wait_for_function("document.querySelector('.stage .photo').src.endsWith('pixels.png')")
    transform = "image => image.style.transform"
    before = page.locator(".stage .photo").first.evaluate(transform)
    keys.press("ArrowRight")
    assert page.locator(".stage .photo").first.evaluate(transform) != before
    keys.press("0")
    assert zoom.inner_text() == "fit"
    for _ in range(40):
        keys.press("Tab")
        if page.evaluate("document.activeElement.id") == "map-0":
            break
    keys.press("ArrowRight")
    assert page.is_checked("#map-1")
    heat = page.locator(".heat").first
    assert heat.evaluate("image => image.style.opacity") == "0.85"
    assert page.locator("[data-caption=map-1]").is_visible()
    page.focus("#opacity")
    keys.press("Home")
    assert heat.evaluate("image => image.style.opacity") == "0"
    keys.press("End")
    assert heat.evaluate("image => image.style.opacity") == "1"
    page.focus("#curtain")
    keys.press("Space")
    over = page.locator("[data-over]")
    assert over.evaluate("layer => layer.style.clipPath") == "inset(0px 0px 0px 50%)"
    keys.press("Tab")
    for _ in range(10):
        keys.press("ArrowLeft")
    assert over.evaluate("layer => layer.style.clipPath") == "inset(0px 0px 0px 40%)"
    assert page.inner_text("[data-curtain-value]") == "40 %"


def test_the_curtain_and_the_picture_follow_the_pointer(opened, server):
    page = opened(picture_path(server))
    page.check("#map-1", force=True)
    page.check("#curtain")
    page.locator("[data-stage]").scroll_into_view_if_needed()
    box = page.locator("[data-stage]").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.25, middle)
    page.mouse.up()
    assert abs(int(page.input_value("#curtain-place")) - 25) <= 1
    page.get_by_role("button", name="1 : 1").click()
    page.get_by_role("button", name="Zoom in").click()
    transform = "image => image.style.transform"
    before = page.locator(".stage .photo").first.evaluate(transform)
    page.mouse.move(box["x"] + box["width"] * 0.7, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, middle + 20)
    page.mouse.up()
    assert page.locator(".stage .photo").first.evaluate(transform) != before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(opened, server, scheme):
    page = opened("/", color_scheme=scheme)
    large = f"/cases/{server.hostile_case}", picture_path(server, server.generated)
    for path in every_page(server):
        if scheme == "dark" and path.startswith(large):
            continue  # their colours are those of the others
        page.goto(server.url + path)
        if page.locator("#map-1").count():
            page.check("#map-1", force=True)
            page.check("#curtain")
            page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
        found = Axe().run(page, options={"runOnly": RULES}).response
        assert len(found["passes"]) > 10, path
        assert not [(path, each["id"], each["nodes"][0]["html"]) for each in found["violations"]]


def test_no_page_is_wider_than_a_phone(opened, server):
    page = opened("/", viewport=PHONE, has_touch=True, is_mobile=True)
    for path in every_page(server):
        page.goto(server.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path


def test_a_report_is_shown_within_two_seconds(opened, server):
    page = opened("/")
    page.goto(server.url + picture_path(server))  # once, to warm the templates
    took = []
    for _ in range(3):  # other work may hold the machine for a moment
        began = time.perf_counter()
        page.goto(server.url + picture_path(server, server.generated), wait_until="load")
        assert page.locator(".brief").count() == 3
        took.append(time.perf_counter() - began)
    assert min(took) < 2


def test_hostile_names_and_metadata_are_text(opened, server):
    page = opened(f"/cases/{server.hostile_case}")
    assert samples.HOSTILE_STRINGS["end"] in page.inner_text("h1")
    page.goto(f"{server.url}/cases/{server.hostile_case}/pictures/{server.hostile}")
    assert "<script>alert('veriscope-attack')</script>" in page.inner_text("main")
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    assert page.evaluate("document.querySelectorAll('main script, main iframe, main object, main link').length") == 0
    loaded = page.evaluate("[...document.images].map((image) => new URL(image.src).origin)")
    assert set(loaded) <= {server.url}


def test_without_scripts_pictures_are_sent_and_reports_are_read(opened, server):
    page = opened("/", java_script_enabled=False)
    page.set_input_files("#pictures", PHOTOGRAPH)
    page.fill("#title", "Without scripts")
    page.get_by_role("button", name="Examine").click()
    assert page.locator("h1").inner_text() == "Being examined"
    assert page.locator("meta[http-equiv=refresh]").count() == 1
    filling.finish(server.service, samples.edited(), samples_pixels())
    page.reload()
    assert page.locator(".brief").count() == 3
    assert not page.locator(".controls").is_visible()
    assert page.locator("label[for=map-1]").is_visible()


def test_deleting_asks_first_and_removes_the_files(opened, server):
    service = server.service
    case = service.cases.create("To be deleted", "Ada")
    picture = filling.add(service, case, samples.edited())
    folder = service.storage.folder(picture)
    assert folder.is_dir()
    page = opened(f"/cases/{case}")
    page.get_by_role("link", name="Delete this case").click()
    page.get_by_role("link", name="Keep it").click()
    assert folder.is_dir()
    page.get_by_role("link", name="Delete this case").click()
    page.get_by_role("button", name="Delete for good").click()
    page.wait_for_url("**/cases")
    assert not folder.exists()
    assert page.goto(f"{server.url}/cases/{case}").status == 404
    assert page.goto(f"{server.url}/cases/{case}/pictures/{picture}/preview.jpg").status == 404


def test_notes_titles_and_what_was_done(opened, server):
    case = server.service.cases.create("First title", "Ada")
    filling.add(server.service, case, samples.edited())
    page = opened(f"/cases/{case}")
    page.fill("#text", "The light does not fit <b>the hour</b>.")
    page.get_by_role("button", name="Save the note").click()
    assert "<b>the hour</b>" in page.inner_text(".note")
    page.locator("summary", has_text="Change the title").click()
    page.fill("#new-title", "Second title")
    page.get_by_role("button", name="Save the title").click()
    assert page.inner_text("h1") == "Second title"
    assert page.locator(".timeline li").count() >= 4
    page.get_by_role("button", name="Delete this note").click()
    assert page.locator(".note").count() == 0


def test_a_person_takes_part_in_a_study_by_keys_and_times_are_measured(opened, server):
    page = opened("/study/abcdefghij")
    page.get_by_role("button", name="Begin").click()
    assert page.url.endswith("/study/abcdefghij")  # not without consent
    page.check("#agree")
    page.get_by_role("button", name="Begin").click()
    assert page.locator("[data-post]").count() == 5
    found = Axe().run(page, options={"runOnly": RULES}).response
    assert not [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]]
    for number in range(6):
        post = page.locator("[data-post]").nth(number % 5)
        post.locator("img").evaluate("image => image.decode()")
        page.wait_for_timeout(300)
        post.get_by_role("radio", name="certain").focus()
        page.keyboard.press("Space")
        post.get_by_role("button", name="Made by a model").focus()
        page.keyboard.press("Enter")
        page.wait_for_selector(f"text={number + 1} of 6 answered")
        if number in (4, 5):
            page.locator("[data-more]").click()
            page.wait_for_load_state()
    assert "right about 3 of 6" in page.inner_text("main")
    answers = [answer for answer in server.study.answers() if answer.participant == 2]
    assert {(answer.answer, answer.sure) for answer in answers} == {("generated", 3)}
    assert all(100 < answer.milliseconds < 60_000 for answer in answers)
    page.locator("summary", has_text="Take back").click()
    page.get_by_role("button", name="Delete my answers").click()
    assert "Your answers are deleted" in page.inner_text("main")
    assert not [answer for answer in server.study.answers() if answer.participant == 2]
