from typing import Any

import pytest

from textdiffusion.option_layers import contradictions, lay_over

Options = dict[str, Any]


@pytest.mark.parametrize(
    ("lower", "upper", "result"),
    [
        ({"steps": 8}, {"steps_per_block": 4}, {"steps_per_block": 4}),
        ({"steps_per_block": 4}, {"steps": 8}, {"steps": 8}),
        ({"threshold": 0.9}, {"steps_per_block": 4}, {"steps_per_block": 4}),
        ({"factor": 1.0}, {"steps_per_block": 4}, {"steps_per_block": 4}),
        ({"steps_per_block": 4}, {"threshold": 0.9}, {"steps_per_block": 4, "threshold": 0.9}),
        ({"steps_per_block": 4}, {"steps": None}, {"steps_per_block": 4, "steps": None}),
    ],
)
def test_one_number_of_steps_ends_the_other_and_any_rule(lower: Options, upper: Options, result: Options) -> None:
    assert lay_over(lower, upper) == result


@pytest.mark.parametrize(
    ("lower", "upper", "result"),
    [
        ({"max_parallel_tokens": 4}, {"min_parallel_tokens": 5}, {"min_parallel_tokens": 5}),
        ({"min_parallel_tokens": 5}, {"max_parallel_tokens": 4}, {"max_parallel_tokens": 4}),
        (
            {"min_parallel_tokens": 4},
            {"max_parallel_tokens": 4},
            {"min_parallel_tokens": 4, "max_parallel_tokens": 4},
        ),
    ],
)
def test_a_bound_ends_one_from_below_that_contradicts_it(lower: Options, upper: Options, result: Options) -> None:
    before = dict(lower)
    assert lay_over(lower, upper) == result
    assert lower == before


@pytest.mark.parametrize(
    ("upper", "canvas"),
    [({"cfg_scale": 1.0}, "fixed"), ({"cfg_scale": 0.0}, "grow"), ({"cfg_scale": 1.0, "canvas": "grow"}, "grow")],
)
def test_guidance_ends_a_canvas_from_below_that_grows(upper: Options, canvas: str) -> None:
    assert lay_over({"canvas": "grow"}, upper)["canvas"] == canvas


def test_a_growing_canvas_goes_with_guidance_that_is_off() -> None:
    assert not list(contradictions({"canvas": "grow", "cfg_scale": 0.0, "min_tokens": 8, "max_tokens": 8}))
