"""Curbside's metrics, read from Valkey: Flower's `GET /metrics` returns them with its own, for Prometheus.

They are read at each scrape, so one Flower covers the whole deployment. While Valkey is unavailable, only `curbside_up 0` is
returned.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis import Redis

from schemas import keys
from workers.contract_drift import read_drift
from workers.monitoring.refusals import RefusedStatus, read_refused
from workers.monitoring.status import HandlerStatus, InboxStatus, read_streams
from workers.valkey.connection import UNAVAILABLE


class Metrics(Collector):
    """All of Curbside's metrics; this module is the only place that names them."""

    def __init__(self, client: Redis, handlers: Sequence[str]) -> None:
        self._client, self._handlers = client, handlers

    def collect(self) -> Iterator[Metric]:
        """Read Valkey and yield the metrics."""
        now = datetime.now(UTC)
        try:
            inbox, by_handler, failures, _ = read_streams(self._client, self._handlers, now)
            refused = read_refused(self._client, now)
            drift = Counter((each.finding.provider, each.finding.what.value) for each in read_drift(self._client))
            lost: Any = self._client.get(keys.LOSSES)
        except UNAVAILABLE:
            yield GaugeMetricFamily("curbside_up", "1 if Valkey answers, else 0.", 0)
            return
        yield GaugeMetricFamily("curbside_up", "1 if Valkey answers, else 0.", 1)
        yield from _of_inbox(inbox)
        yield _of_refused(refused)
        yield from _of_handlers(by_handler)
        yield GaugeMetricFamily("curbside_failures", "Failures on record: retrying, dead or discarded.", failures)
        yield from _of_losses(lost)
        found = GaugeMetricFamily(
            "curbside_drift_findings",
            "Drift findings on record: see `curbside drift`.",
            labels=("provider", "what"),
        )
        for labels, count in drift.items():
            found.add_metric(labels, count)
        yield found


def _of_inbox(inbox: InboxStatus) -> Iterator[Metric]:
    yield CounterMetricFamily("curbside_received", "Events acknowledged to a provider.", inbox.received)
    outcomes = CounterMetricFamily("curbside_outcomes", "Events that the dispatcher has processed.", labels=("outcome",))
    for outcome in ("routed", "duplicate", "undecodable"):
        outcomes.add_metric((outcome,), getattr(inbox, outcome))
    yield outcomes
    yield CounterMetricFamily(
        "curbside_reappended", "Events that Valkey had lost and an ingress appended again.", inbox.reappended
    )
    yield CounterMetricFamily("curbside_unrecognised", "Routed events with an unknown name.", inbox.unrecognised)
    yield GaugeMetricFamily("curbside_inbox_waiting", "Events that wait for the dispatcher.", inbox.waiting)
    age = inbox.oldest_age_seconds or 0.0
    yield GaugeMetricFamily("curbside_inbox_oldest_seconds", "Age of the oldest event that waits for the dispatcher.", age)


def _of_losses(summary: bytes | None) -> Iterator[Metric]:
    losses, events = map(int, (summary or b"0 0").split())
    yield GaugeMetricFamily("curbside_losses", "Losses of acknowledged events that nobody has confirmed.", losses)
    yield GaugeMetricFamily("curbside_lost_events", "Events of those losses, at least so many.", events)


def _of_refused(refused: Sequence[RefusedStatus]) -> Metric:
    counts = CounterMetricFamily(
        "curbside_refused",
        "Requests that the ingress refused; the provider is - if it is unknown.",
        labels=("provider", "status", "cause"),
    )
    for each in refused:
        counts.add_metric((each.provider, str(each.status), each.cause), each.count)
    return counts


def _of_handlers(handlers: dict[str, HandlerStatus]) -> Iterator[Metric]:
    counters = {
        name: CounterMetricFamily(f"curbside_{name}", text, labels=("handler",))
        for name, text in (
            ("handler_routed", "Events routed to a handler."),
            ("handler_applied", "Events applied by a handler."),
        )
    }
    gauges = {
        name: GaugeMetricFamily(f"curbside_{name}", text, labels=("handler",))
        for name, text in (
            ("handler_failed", "Events of a handler that have a failure on record."),
            ("handler_waiting", "Events that wait for a handler."),
            ("handler_oldest_seconds", "Age of the oldest claim check that waits for a handler."),
        )
    }
    for handler, status in handlers.items():
        counters["handler_routed"].add_metric((handler,), status.routed)
        counters["handler_applied"].add_metric((handler,), status.applied)
        gauges["handler_failed"].add_metric((handler,), status.failed)
        gauges["handler_waiting"].add_metric((handler,), status.waiting)
        gauges["handler_oldest_seconds"].add_metric((handler,), status.oldest_age_seconds or 0.0)
    yield from (*counters.values(), *gauges.values())
