"""How router, launcher and workers talk gRPC to one another.

The options are not taste. Without `ping_timeout_ms` a worker that hangs is noticed after a minute, whatever
`keepalive_timeout_ms` says, and with too short a one it loses all its calls as soon as a busy machine pauses it: it is
noticed within `keepalive_time_ms` and `ping_timeout_ms` together. Without the server's ping interval, which has to be
shorter than `keepalive_time_ms`, those same pings are answered by GOAWAY; with `so_reuseport` two workers can share a
port without either of them noticing; with `enable_http_proxy` a company's proxy would be asked for a worker on this
machine; and `min_reconnect_backoff_ms` is, whatever its name, how long connecting may take, TLS and the way to another
machine included.
"""

SERVICE_NAME = "textdiffusion.v1.TextGenerationService"
# In which words a worker refuses, as UNAVAILABLE, what it has not begun.
STOPPING = "the worker is stopping"
LOADING = "the model is still loading"

MAX_MESSAGE_BYTES = 16 * 1024 * 1024

_SIZES = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
]

CHANNEL_OPTIONS: list[tuple[str, int]] = [
    *_SIZES,
    ("grpc.keepalive_time_ms", 8_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]

SERVER_OPTIONS: list[tuple[str, int]] = [
    *_SIZES,
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.so_reuseport", 0),
]
