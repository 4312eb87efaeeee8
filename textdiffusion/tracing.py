"""Traces of requests, for those who ask for them.

What records them, OpenTelemetry, is imported only where the settings name a collector.
"""

from textdiffusion.configuration import exit_with
from textdiffusion.settings import TracingSettings
from textdiffusion.spans import NO_TRACING, Tracing


def configure_tracing(settings: TracingSettings, process: str, log_format: str) -> Tracing:
    """Sends the spans of `process` to the collector, if there is one; exits with 1 if it cannot be set up."""
    if settings.otlp_endpoint is None:
        return NO_TRACING
    try:
        from textdiffusion.otlp import OpenTelemetry, provider_for  # noqa: PLC0415 - the extra `tracing`

        return OpenTelemetry(provider_for(settings.otlp_endpoint, settings.sample_ratio, process))
    except ValueError as error:
        exit_with([f"environment: one of OpenTelemetry's own variables is wrong: {error}"], log_format)
