"""The queue: claims, leases, fencing and tries, on SQLite and on a real PostgreSQL."""

import threading

import pytest
from sqlalchemy import select, update

from veriscope.server.database import HEAD, Database
from veriscope.server.problems import ProblemError
from veriscope.server.queue import Outcome, Queue
from veriscope.server.settings import Settings
from veriscope.server.storage import Storage
from veriscope.server.submitting import Submitting, Wanted
from veriscope.server.tables import Job, Report, Table
from veriscope.server.uploads import Upload

REPORT = {"headline": "h", "answer": "real", "seconds": 1.0}


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    """An empty database of either kind, migrated."""
    url = f"sqlite:///{tmp_path / 'q.sqlite3'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql")
    made = Database(url)
    made.migrate()
    yield made
    with made.writing() as session:
        for table in reversed(Table.metadata.sorted_tables):
            session.execute(table.delete())
    made.close()


@pytest.fixture
def queue(database):
    return Queue(database, lease_seconds=30)


@pytest.fixture
def submit(database, tmp_path):
    """Queues so many jobs; gives their ids."""
    storage = Storage(tmp_path)

    def make(count=1, **wanted):
        uploads = []
        for number in range(count):
            path = storage.receive()
            path.write_bytes(b"picture")
            uploads.append(Upload(f"{number}.jpg", path, 7, "0" * 64))
        made = Submitting(database, storage, Settings(tmp_path, waiting=wanted.pop("waiting", 10_000)))
        return [job.id for job in made.submit(uploads, Wanted("examine", {}, "me", **wanted))]

    return make


def state(database, job_id):
    with database.reading() as session:
        return session.get(Job, job_id)


def lapse(database, job_id):
    """As if the holder had given no sign of life for long."""
    with database.writing() as session:
        session.execute(update(Job).where(Job.id == job_id).values(lease_until=1.0))


def test_the_schema_is_what_the_tables_say(database):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    assert database.version() == HEAD
    database.migrate()
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []


def test_jobs_come_in_order_and_by_priority(queue, submit):
    first, second = submit(2)
    (urgent,) = submit(1, priority=-1)
    assert [queue.claim("w").id for _ in range(3)] == [urgent, first, second]
    assert queue.claim("w") is None
    assert queue.counts() == {"waiting": 0, "running": 3, "done": 0, "failed": 0}


def test_many_workers_never_take_the_same_job(queue, submit):
    jobs = submit(24)
    taken, lock = [], threading.Lock()

    def work():
        while (claim := queue.claim("w")) is not None:
            with lock:
                taken.append(claim.id)
            assert queue.finish(claim, Outcome(report=REPORT), "folder")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(jobs)
    assert queue.counts()["done"] == 24


def test_a_result_is_taken_from_the_holder_of_the_lease_alone(database, queue, submit):
    (job,) = submit()
    dead = queue.claim("dead")
    assert queue.claim("other") is None
    lapse(database, job)
    alive = queue.claim("alive")
    assert (alive.id, alive.tries) == (job, 2)
    assert alive.lease != dead.lease
    assert not queue.renew(dead, "late")
    assert not queue.finish(dead, Outcome(report=REPORT), "dead")
    assert queue.renew(alive, "fused")
    assert state(database, job).stage == "fused"
    assert queue.finish(alive, Outcome(report=REPORT), "alive")
    assert not queue.finish(alive, Outcome(report=REPORT), "again")
    assert not queue.finish(dead, Outcome(report=REPORT), "dead")
    with database.reading() as session:
        assert session.execute(select(Report.id, Report.folder)).all() == [(job, "alive")]


def test_a_job_is_tried_three_times_and_then_fails(database, queue, submit):
    (job,) = submit()
    for tries in (1, 2, 3):
        claim = queue.claim("w")
        assert claim.tries == tries
        lapse(database, job)
    assert queue.claim("w") is None
    failed = state(database, job)
    assert (failed.state, failed.tries, failed.error_code) == ("failed", 3, "crashed")
    assert queue.claim("w") is None


@pytest.mark.parametrize(("code", "tries"), [("crashed", 3), ("memory", 2), ("time", 2)])
def test_what_stops_a_worker_is_tried_again_behind_the_others(database, queue, submit, code, tries):
    bad, good = submit(2)
    order = []
    while (claim := queue.claim("w")) is not None:
        order.append(claim.id)
        if claim.id == bad:
            queue.interrupted(bad, claim.lease, code, "it went wrong")
        else:
            queue.finish(claim, Outcome(report=REPORT), "f")
    assert order == [bad, good] + [bad] * (tries - 1)
    assert (state(database, bad).state, state(database, bad).error) == ("failed", "it went wrong")


def test_a_worker_that_was_told_to_stop_costs_no_try(database, queue, submit):
    (job,) = submit()
    for _ in range(5):
        claim = queue.claim("w")
        assert queue.interrupted(job, claim.lease, "stopped", "") == "waiting"
    assert state(database, job).tries == 0
    stale = queue.claim("w")
    lapse(database, job)
    queue.claim("other")
    assert queue.interrupted(job, stale.lease, "crashed", "") == ""
    assert state(database, job).state == "running"


def test_a_deleted_job_takes_no_result(database, queue, submit):
    (_job,) = submit()
    claim = queue.claim("w")
    with database.writing() as session:
        session.execute(Table.metadata.tables["pictures"].delete())
    assert not queue.finish(claim, Outcome(report=REPORT), "f")
    assert not queue.renew(claim)


def test_one_key_makes_one_batch_however_often_it_comes_at_once(database, queue, submit):
    found, errors = [], []

    def send():
        try:
            found.append(tuple(submit(2, key="k", fingerprint="f")))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(set(found)) == 1
    assert queue.counts()["waiting"] == 2
    with pytest.raises(ProblemError, match="another request"):
        submit(2, key="k", fingerprint="other")


def test_secrets_do_not_outlive_the_job(database, queue, submit, tmp_path):
    (job,) = submit()
    with database.writing() as session:
        session.get(Job, job).options = {"key": "secret", "message": "secret", "name": "n"}
    queue.finish(queue.claim("w"), Outcome(result={}), "")
    assert state(database, job).options == {"name": "n"}


def test_all_of_a_request_is_queued_or_nothing(database, queue, submit, tmp_path):
    with pytest.raises(ProblemError, match="wait already"):
        submit(3, waiting=2)
    assert queue.counts()["waiting"] == 0
    assert not list((tmp_path / "pictures").glob("*/*"))
