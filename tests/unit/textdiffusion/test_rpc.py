from textdiffusion.rpc import CHANNEL_OPTIONS, SERVER_OPTIONS

CHANNEL = dict(CHANNEL_OPTIONS)
SERVER = dict(SERVER_OPTIONS)


def test_a_worker_that_hangs_is_noticed_within_15_seconds_and_one_that_pauses_for_a_moment_is_not() -> None:
    patience = CHANNEL["grpc.http2.ping_timeout_ms"]
    assert patience >= 5_000
    assert CHANNEL["grpc.keepalive_timeout_ms"] >= patience
    assert CHANNEL["grpc.keepalive_time_ms"] + patience <= 15_000


def test_the_server_permits_the_pings_of_its_clients() -> None:
    assert SERVER["grpc.http2.min_ping_interval_without_data_ms"] < CHANNEL["grpc.keepalive_time_ms"]
