"""What a worker process is started with."""

from textdiffusion.configuration import RootSettings
from textdiffusion.settings import LoggingSettings, TracingSettings, WorkerSettings


class WorkerRoot(RootSettings):
    """Serves one model on one device over gRPC."""

    worker: WorkerSettings
    logging: LoggingSettings = LoggingSettings()
    tracing: TracingSettings = TracingSettings()
