"""The pages over HTTP: addresses, forms, documents to take away, errors, accounts, and escaping."""

import io
import re

import pytest

pytest.importorskip("fastapi", reason="needs the extra: server")

from tests.reporting import samples
from tests.reporting.test_html import Page
from tests.reporting.test_matches import match as a_match
from tests.server import filling
from tests.server.conftest import PHOTOGRAPH, running
from veriscope.evidence import Report
from veriscope.server import pages_documents, pages_pictures
from veriscope.server.pages_rendering import Pages

HTML = {"accept": "text/html"}


@pytest.fixture
def service(idle):
    return idle.app.state.service


@pytest.fixture
def case(service):
    return service.cases.create("Market at dawn", "Ada")


def csrf(client, path="/"):
    return re.search(r'name="csrf" value="([^"]+)"', client.get(path).text)[1]


def test_pictures_sent_by_a_form_open_a_case(idle, service):
    data = PHOTOGRAPH.read_bytes()
    token = csrf(idle)
    files = [("pictures", ("a.jpg", data, "image/jpeg"))]
    one = idle.post("/cases", data={"csrf": token}, files=files)
    assert one.status_code == 303
    assert re.fullmatch(r"/cases/\w+/pictures/\w+", one.headers["location"])
    two = idle.post("/cases", data={"csrf": token, "title": "Two", "quick": "1"}, files=files + files)
    assert re.fullmatch(r"/cases/\w+", two.headers["location"])
    made = service.cases.get(two.headers["location"].split("/")[2])
    assert (made.title, made.quick, len(made.pictures)) == ("Two", True, 2)
    assert idle.post("/cases", data={"csrf": token, "title": "None"}, headers=HTML).status_code == 422
    assert idle.post("/cases", data={"csrf": "wrong"}, files=files, headers=HTML).status_code == 403
    assert service.cases.find()[1] == 2


def test_a_report_says_what_the_report_says(idle, service, case):
    for report in (samples.edited(), samples.generated()):
        picture = filling.add(service, case, report)
        answer = idle.get(f"/cases/{case}/pictures/{picture}")
        page = Page(answer.text)
        for words in (
            report.headline,
            report.file.name,
            report.file.sha256,
            *(verdict.says for verdict in report.pixels.values()),
            *(row.says for row in report.evidence),
            *(item.says for item in report.declares),
            *(match.says for match in report.seen or ()),
        ):
            assert words in page.text
        assert not [attributes for tag, attributes in page.tags if "style" in attributes or tag == "style"]
        assert all(attributes.get("src", "").startswith("/static/") for attributes, _ in page.scripts)
        heats = [a["src"] for t, a in page.tags if t == "img" and "heat" in a.get("class", "")]
        assert len(heats) == len([row for row in report.evidence if row.map])
        for heat in heats:
            assert idle.get(heat).content.startswith(b"\x89PNG")
        for name in ("preview.jpg", "thumbnail.jpg", "pixels.png"):
            assert idle.get(f"/cases/{case}/pictures/{picture}/{name}").status_code == 200


def test_metadata_is_a_tree(idle, service, case):
    picture = filling.add(service, case, samples.generated())
    text = idle.get(f"/cases/{case}/pictures/{picture}").text
    tree = text[text.index('class="tree"') :]
    assert re.search(
        r"<summary><bdi>cfg</bdi></summary>\s*<ul class=\"tree\">\s*<li><span class=\"leaf\"><bdi>scale", tree
    )
    assert "<bdi>DPM++ 2M</bdi>" in tree


def test_a_match_shows_its_pictures_and_its_difference_map(idle, service, case):
    report = samples.edited().model_copy(update={"seen": [a_match(reference="archive/x.jpg")]})
    picture = filling.add(service, case, report)
    base = f"/cases/{case}/pictures/{picture}"
    text = idle.get(base).text
    assert "Show on the picture: Difference to archive/x.jpg" in text.replace("\u200b", "")
    assert "data:image" not in text
    maps = len([row for row in report.evidence if row.map])
    assert idle.get(f"{base}/maps/{maps + 1}.png").status_code == 200
    assert idle.get(f"{base}/maps/{maps + 2}.png").status_code == 404
    for name in ("original", "on_original", "on_picture"):
        assert f"{base}/matches/1/{name}.jpg" in text
        assert idle.get(f"{base}/matches/1/{name}.jpg").content.startswith(b"\xff\xd8")
    assert idle.get(f"{base}/matches/2/original.jpg").status_code == 404
    assert idle.get(f"{base}/matches/1/sha256.jpg").status_code == 404


def test_documents_to_take_away(idle, service, case):
    picture = filling.add(service, case, samples.edited())
    base = f"/cases/{case}/pictures/{picture}"
    assert Report.from_json(idle.get(f"{base}/report.json").content).headline == samples.edited().headline
    html = idle.get(f"{base}/report.html")
    assert html.headers["content-disposition"].startswith("attachment")
    assert "data:image/jpeg;base64," in html.text
    assert idle.get(f"{base}/report.pdf").content.startswith(b"%PDF")
    assert idle.get(f"{base}/original").content == samples.edited().preview
    service.cases.add_note(case, "Sent by a reader.", "Ada")
    whole = idle.get(f"/cases/{case}/case.html")
    page = Page(whole.text)
    assert "Sent by a reader." in page.text
    assert samples.edited().headline in page.text
    assert not page.scripts
    assert "default-src 'none'" in page.policy()
    assert all(a["src"].startswith("data:image/") for t, a in page.tags if t == "img")
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    events = [event.what for event in service.cases.get(case).events]
    assert "took the case as HTML" in events


def test_a_case_as_pdf_holds_every_picture_and_the_notes(idle, service, case):
    pypdf = pytest.importorskip("pypdf")
    filling.add(service, case, samples.edited())
    filling.add(service, case, samples.hostile())
    service.cases.add_note(case, "Taken in Lyon, they say.", "Ada")
    pdf = pypdf.PdfReader(io.BytesIO(idle.get(f"/cases/{case}/case.pdf").content))
    text = " ".join(" ".join(sheet.extract_text() for sheet in pdf.pages).split())
    assert "Taken in Lyon, they say." in text
    assert samples.edited().headline[:50] in text
    assert f"page {len(pdf.pages)} of {len(pdf.pages)}" in text


def test_search_and_pages_of_the_list(idle, service):
    for number in range(23):
        service.cases.create(f"Harbour {number:02d}", "Ada")
    service.cases.create("Something else", "Ada")
    first = idle.get("/cases?q=harbour").text
    assert first.count('class="case-row"') == 20
    assert "23 cases" in first
    last = idle.get("/cases?q=harbour&page=2").text
    assert last.count('class="case-row"') == 3
    assert idle.get("/cases?q=harbour&page=99").text.count('class="case-row"') == 3
    assert "No case holds" in idle.get("/cases?q=nothing").text
    assert idle.get("/cases?page=-1").status_code == 200


def test_links_of_a_list_keep_what_was_searched_for():
    pages = Pages.of(2, 45, 20, "a&b")
    assert pages.count == 3
    assert pages.link(3) == "?q=a%26b&page=3"


def test_errors_are_pages_for_people(idle, service, case):
    for path, status in (
        ("/nowhere", 404),
        ("/cases/none", 404),
        (f"/cases/{case}/pictures/none", 404),
        (f"/cases/{case}/pictures/../../../etc/passwd", 404),
    ):
        answer = idle.get(path, headers=HTML)
        assert answer.status_code == status
        assert f"Error {status}" in answer.text
    large = [("pictures", ("a.jpg", b"x" * 51_000_000, "image/jpeg"))]
    answer = idle.post("/cases", data={"csrf": csrf(idle)}, files=large, headers=HTML)
    assert answer.status_code == 413
    assert "over the limit" in answer.text.lower()


def test_too_many_requests_are_told_on_a_page(settings):
    with running(settings.__class__(**{**vars(settings), "waiting": 1}), work=False) as client:
        data = {"csrf": csrf(client)}
        files = [("pictures", ("a.jpg", PHOTOGRAPH.read_bytes(), "image/jpeg"))]
        assert client.post("/cases", data=data, files=files).status_code == 303
        refused = client.post("/cases", data=data, files=files, headers=HTML)
        assert refused.status_code == 429
        assert refused.headers["retry-after"]
        assert "Wait a little" in refused.text
        assert client.app.state.service.cases.find()[1] == 1  # no empty case stays


def test_names_of_files_to_save_are_harmless():
    header = pages_documents.attachment('a"b\r\nSet-Cookie: x=1;/../é.pdf')["Content-Disposition"]
    name = "a_b_Set-Cookie_ x_1_.._"
    assert header == f"attachment; filename=\"{name}_.pdf\"; filename*=UTF-8''{name.replace(' ', '%20')}%C3%A9.pdf"
    assert 'filename="file"' in pages_documents.attachment(". .")["Content-Disposition"]


def test_maps_that_are_no_pictures_are_left_out():
    shown, numbers = pages_pictures.layers(samples.hostile())
    assert all(layer.data.startswith("data:image/png;base64,") for layer in shown)
    assert set(numbers.values()) == {layer.number for layer in shown}


def test_users_are_added_and_changed_by_an_administrator(settings):
    with running(settings, work=False) as client:
        service = client.app.state.service
        service.accounts.add_user("ada", "a long password", "admin")
        service.accounts.add_user("vic", "another password", "viewer")
        assert client.get("/users", headers=HTML).status_code in (303, 307)
        login = csrf(client, "/login")
        sent = {"name": "vic", "password": "another password", "csrf": login, "next": "/"}
        assert client.post("/login", data=sent).status_code == 303
        assert "Choose pictures" not in client.get("/").text
        assert client.get("/users", headers=HTML).status_code == 403
        assert client.get("/audit", headers=HTML).status_code == 403
        client.post("/logout", data={"csrf": csrf(client)})
        sent |= {"name": "ada", "password": "a long password"}
        assert client.post("/login", data=sent).headers["location"] == "/"
        token = csrf(client, "/users")
        added = {"csrf": token, "name": "<b>eve</b>", "password": "short", "role": "viewer"}
        refused = client.post("/users", data=added)
        assert refused.status_code == 422
        assert "<b>eve" not in refused.text
        added |= {"name": "eve", "password": "long enough, surely"}
        assert client.post("/users", data=added).status_code == 303
        assert client.post("/users/eve/role", data={"csrf": token, "role": "examiner"}).status_code == 303
        assert {user.name: user.role for user in service.accounts.users()}["eve"] == "examiner"
        assert client.post("/users/ada/remove", data={"csrf": token}).status_code == 422
        assert client.post("/users/eve/remove", data={"csrf": token}).status_code == 303
        assert "eve" not in {user.name for user in service.accounts.users()}
        assert "added a user" in client.get("/audit").text
