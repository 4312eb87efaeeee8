from textdiffusion.signals import ECHO_SECONDS, StopSignals


async def test_the_first_signal_asks() -> None:
    signals = StopSignals()
    signals.received(0)
    assert (signals.asked.is_set(), signals.forced.is_set()) == (True, False)


async def test_the_echo_of_a_signal_is_no_second_one() -> None:
    signals = StopSignals()
    signals.received(0)
    signals.received(ECHO_SECONDS)
    assert not signals.forced.is_set()


async def test_a_second_signal_forces_and_a_third_adds_nothing() -> None:
    forced: list[bool] = []
    signals = StopSignals(lambda: forced.append(True))
    signals.received(0)
    signals.received(ECHO_SECONDS + 0.01)
    assert signals.forced.is_set()
    signals.received(ECHO_SECONDS + 1)
    assert forced == [True]
