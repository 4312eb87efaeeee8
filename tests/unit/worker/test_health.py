from worker.health import Condition


def test_a_worker_is_healthy_once_its_model_has_run() -> None:
    assert not Condition().healthy
    assert Condition(loaded=True).healthy
    assert Condition(loaded=True).takes_requests


def test_a_worker_that_drains_is_healthy_and_takes_no_requests() -> None:
    condition = Condition(loaded=True, draining=True)
    assert condition.healthy
    assert not condition.takes_requests


def test_a_worker_that_is_broken_or_stuck_is_not_healthy_while_it_drains_either() -> None:
    assert not Condition(loaded=True, broken=True).healthy
    assert not Condition(loaded=True, stalled=True, draining=True).healthy


def test_a_device_that_breaks_while_the_model_loads_stays_broken() -> None:
    assert not Condition(broken=True, loaded=True).healthy
