from worker.engine.progress import Progress


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_nothing_lasts_while_there_is_nothing_to_do() -> None:
    clock = Clock()
    progress = Progress(clock)
    clock.now += 1000
    assert progress.resting
    assert progress.lasted == 0


def test_a_step_lasts_until_the_next_begins_or_the_work_is_done() -> None:
    clock = Clock()
    progress = Progress(clock)
    progress.begin()
    clock.now += 7
    assert progress.lasted == 7
    progress.begin()
    assert progress.lasted == 0
    clock.now += 3
    progress.rest()
    assert progress.lasted == 0
