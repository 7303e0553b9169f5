"""What a monitor reads at ``/metrics``, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily

REQUEST_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 30, 120)
JOB_SECONDS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 60, 180)


class Metrics:
    """A server's counters."""

    def __init__(self, counts: Callable[[], dict[str, int]], workers: Callable[[], tuple[int, int]]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("veriscope_requests", "Requests", ["method", "route", "status"], registry=self.registry)
        self.seconds = Histogram(
            "veriscope_request_seconds",
            "Seconds to the end of a response",
            ["route"],
            buckets=REQUEST_SECONDS,
            registry=self.registry,
        )
        self.under_way = Gauge("veriscope_requests_under_way", "Requests under way", registry=self.registry)
        self.uploads = Counter("veriscope_uploads", "Pictures uploaded", registry=self.registry)
        self.upload_bytes = Counter("veriscope_upload_bytes", "Bytes of pictures uploaded", registry=self.registry)
        self.jobs = Counter("veriscope_jobs_ended", "Jobs ended", ["kind", "state"], registry=self.registry)
        self.job_seconds = Histogram(
            "veriscope_job_seconds", "Seconds a job took", ["kind"], buckets=JOB_SECONDS, registry=self.registry
        )
        self.deaths = Counter("veriscope_worker_deaths", "Workers that ended", ["why"], registry=self.registry)
        self.registry.register(_Asked(counts, workers))

    def told(self, said: dict[str, Any]) -> None:
        """Count what a worker or the supervisor says."""
        if said["event"] == "end":
            self.jobs.labels(said["kind"], said["state"] or "lost").inc()
            if "seconds" in said:
                self.job_seconds.labels(said["kind"]).observe(said["seconds"])
        elif said["event"] == "died":
            self.deaths.labels(said["why"]).inc()

    def text(self) -> bytes:
        """All of it, in Prometheus's text format."""
        return generate_latest(self.registry)


class _Asked:
    """What is looked up when it is asked for."""

    def __init__(self, counts: Callable[[], dict[str, int]], workers: Callable[[], tuple[int, int]]) -> None:
        self._counts, self._workers = counts, workers

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> list[Any]:
        jobs = GaugeMetricFamily("veriscope_jobs", "Jobs in the database", labels=["state"])
        for state, count in self._counts().items():
            jobs.add_metric([state], count)
        ready, resident = self._workers()
        return [
            jobs,
            GaugeMetricFamily("veriscope_workers_ready", "Workers that take jobs", value=ready),
            GaugeMetricFamily("veriscope_worker_resident_bytes", "Resident memory of all workers", value=resident),
        ]
