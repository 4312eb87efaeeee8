from testing.faults.ledger import NEWS_SECONDS, Deaths


def test_what_overlaps_a_router_s_death_is_told_from_what_does_not() -> None:
    now = 10.0
    deaths = Deaths(lambda: now)
    death = deaths.begin()
    assert deaths.between(5, 10)
    assert deaths.between(1000, 1001)  # there is no telling when it will be over
    assert not deaths.between(5, 9)
    now = 20.0
    deaths.end(death)
    assert deaths.between(15, 30)
    assert deaths.between(20 + NEWS_SECONDS, 30)
    assert not deaths.between(20.1 + NEWS_SECONDS, 30)
