"""What is cleared away, and what is not."""

import os

from sqlalchemy import update

from tests.server.test_api import send
from veriscope.server.tables import Job
from veriscope.server.uploads import Upload
from veriscope.server.worker import work_once


def test_old_pictures_go_unless_they_belong_to_a_case(idle, photograph):
    service = idle.app.state.service
    case = service.cases.create("Kept", "me")
    path = service.storage.receive()
    path.write_bytes(b"not a picture")
    kept = service.cases.add_picture(case, Upload("kept.jpg", path, 13, "0" * 64), "me").id
    old, new, waiting = (send(idle, b"not a picture", "/api/v1/jobs").json()["jobs"][0]["id"] for _ in range(3))
    for _ in range(3):
        assert work_once(idle.app.state.settings)
    with service.database.writing() as session:
        session.execute(update(Job).where(Job.id.in_([old, kept])).values(finished=1.0))
        session.execute(update(Job).where(Job.id == waiting).values(created=1.0))
    service.housekeeping.round()
    assert {job["id"] for job in idle.get("/api/v1/jobs").json()["jobs"]} == {kept, new, waiting}
    assert {path.name for path in service.storage.pictures.glob("*/*")} == {kept, new, waiting}


def test_files_that_nobody_knows_go_once_they_are_old(idle):
    storage = idle.app.state.service.storage
    abandoned, fresh = storage.receive(), storage.receive()
    orphan = storage.original("f" * 32)
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"x")
    young = storage.original("e" * 32)
    young.parent.mkdir(parents=True)
    for path in (abandoned, orphan.parent):
        os.utime(path, (1, 1))
    idle.app.state.service.housekeeping.round()
    assert not abandoned.exists()
    assert not orphan.exists()
    assert fresh.exists()
    assert young.parent.exists()
