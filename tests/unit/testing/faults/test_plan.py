from collections import Counter

import pytest

from testing.faults.plan import TAKE_A_WORKER, Kind, faults


def test_a_seed_gives_the_same_faults_again_and_another_one_others() -> None:
    def plan(seed: int) -> list[tuple[float, Kind]]:
        return [(fault.at, fault.kind(2)) for fault in faults(50, 100, seed)]

    assert plan(1) == plan(1)
    assert plan(1) != plan(2)


def test_faults_come_over_the_whole_time_in_order() -> None:
    moments = [fault.at for fault in faults(20, 100, seed=3)]
    assert [int(moment // 5) for moment in moments] == list(range(20))


def test_every_kind_of_fault_comes() -> None:
    assert {fault.kind(2) for fault in faults(400, 1, seed=0)} == set(Kind)


@pytest.mark.parametrize(("serving", "least", "most"), [(0, 0, 0), (1, 0.02, 0.15), (2, 0.25, 0.5)])
def test_the_last_worker_is_seldom_taken(serving: int, least: float, most: float) -> None:
    kinds = Counter(fault.kind(serving) for fault in faults(1000, 1, seed=0))
    share = sum(kinds[kind] for kind in TAKE_A_WORKER) / 1000
    assert least <= share <= most
