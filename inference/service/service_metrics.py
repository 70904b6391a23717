"""Metrics of the service, for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

__all__ = ["ServiceMetrics"]

SECONDS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class ServiceMetrics:
    """Counts and times, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "seqrec_requests", "Requests, by path and status.", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "seqrec_request_seconds",
            "Time from a request's headers to the end of its answer.",
            ["path"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.batch = Histogram(
            "seqrec_batch_histories", "Histories answered together.", buckets=SIZES, registry=self.registry
        )
        self.reloads = Counter(
            "seqrec_reloads", "Attempts to replace the model, by result.", ["result"], registry=self.registry
        )
        for result in ("replaced", "failed"):
            self.reloads.labels(result)

    def watch_queue(self, length: Callable[[], int]) -> None:
        """Read the number of waiting histories whenever metrics are asked for."""
        gauge = Gauge("seqrec_queue_histories", "Histories that wait for an answer.", registry=self.registry)
        gauge.set_function(length)

    def watch_model(self, version: Callable[[], str]) -> None:
        """Read the version of the model whenever metrics are asked for."""
        self.version = version
        self.model = Gauge("seqrec_model", "1 for the version in use.", ["version"], registry=self.registry)

    def observe(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        self.requests.labels(path, str(status)).inc()
        self.seconds.labels(path).observe(seconds)

    def text(self) -> bytes:
        """Return all metrics as Prometheus reads them."""
        self.model.clear()
        self.model.labels(self.version()).set(1)
        return generate_latest(self.registry)
