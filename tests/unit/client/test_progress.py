from client.chunks import Canvas, Chunk
from client.progress import Progress, figures

FIRST = Chunk("", Canvas(1, [None, "b", None, None], {1: 0.5}))
SECOND = Chunk("ab", Canvas(2, ["a", "b", None, "d"], {0: 0.9, 3: 0.8}))


def test_confidences_are_kept_and_the_last_step_is_known() -> None:
    progress = Progress(0, 0).after(FIRST, 1).after(SECOND, 2)
    assert progress.confidences == {0: 0.9, 1: 0.5, 3: 0.8}
    assert progress.latest == {0, 3}


def test_a_canvas_that_is_shown_once_more_leaves_the_last_step_as_it_was() -> None:
    progress = Progress(0, 0).after(SECOND, 1)
    assert progress.after(Chunk("", Canvas(2, ["a", "b", None, "d"], {})), 2).latest == {0, 3}
    assert progress.after(Chunk("c"), 2).latest == {0, 3}


def test_the_figures_are_those_of_the_last_chunk() -> None:
    progress = Progress(10, 10).after(FIRST, 10.5).after(SECOND, 12).after(Chunk("c"), 14)
    assert progress.text == "abc"
    assert figures(progress) == "step 2 · 3 of 4 tokens · 1.5 per pass · 1 tokens/s · first text 2.00 s"


def test_an_answer_that_is_whole_has_its_own_tokens_alone() -> None:
    progress = Progress(0, 0).after(SECOND, 1).after(Chunk(length=2), 2).after(Chunk(), 4)
    assert figures(progress) == "step 2 · 2 of 4 tokens · 1.0 per pass · 0 tokens/s · first text 1.00 s"


def test_figures_that_are_not_known_yet_are_left_out() -> None:
    assert figures(Progress(0, 0)) == "step 0 · 0 of 0 tokens"
