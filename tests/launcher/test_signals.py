from launcher.signals import ECHO_SECONDS, StopSignals


async def test_the_first_signal_asks() -> None:
    signals = StopSignals()
    signals.received(0)
    assert (signals.asked.is_set(), signals.forced.is_set()) == (True, False)


async def test_the_echo_of_a_signal_is_no_second_one() -> None:
    signals = StopSignals()
    signals.received(0)
    signals.received(ECHO_SECONDS)
    assert not signals.forced.is_set()


async def test_a_second_signal_forces() -> None:
    signals = StopSignals()
    signals.received(0)
    signals.received(ECHO_SECONDS + 0.01)
    assert signals.forced.is_set()
