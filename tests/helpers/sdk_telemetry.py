"""The hook for OpenTelemetry on the real SDK, which exports into memory."""

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from entitlements.integrations.opentelemetry import OpenTelemetryHook


class Telemetry:
    """A hook on the SDK, and what it has exported."""

    def __init__(self, limits=None, **options):
        self.reader, self.exporter = InMemoryMetricReader(), InMemorySpanExporter()
        self.meters, self.tracers = MeterProvider([self.reader]), TracerProvider(span_limits=limits)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.tracers.get_tracer("test")
        self.hook = OpenTelemetryHook(self.meters, **options)

    def metrics(self):
        """Return the metrics that have points."""
        data = self.reader.get_metrics_data()
        return [
            metric for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics
        ]

    def names(self):
        """Return the names of the metrics that have points, sorted."""
        return sorted(metric.name for metric in self.metrics())

    def points(self, name):
        """Return the points of a metric: attributes and values."""
        return [
            (dict(point.attributes), point.value)
            for metric in self.metrics()
            if metric.name == f"entitlements.{name}"
            for point in metric.data.data_points
        ]

    def value(self, name, **attributes):
        return sum(value for found, value in self.points(name) if attributes.items() <= found.items())

    def events(self):
        """Return the events of all spans that have ended."""
        return [event for span in self.exporter.get_finished_spans() for event in span.events]

    def close(self):
        self.meters.shutdown()
        self.tracers.shutdown()
