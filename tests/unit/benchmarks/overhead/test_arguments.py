import pytest

from benchmarks.overhead.__main__ import main


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--rate=0", "--rate must be at least 1"),
        ("--rate=nan", "--rate must be at least 1"),
        ("--rounds=0", "--rounds must be at least 1"),
        ("--seconds=x", "--seconds: invalid float value: 'x'"),
        ("--prompt-tokens=3", "--prompt-tokens must be at least 32"),
        ("--updates=0", "--updates must be at least 1, and at most --reply-tokens"),
        ("--updates=65", "--updates must be at least 1, and at most --reply-tokens"),
        ("--rates=500,fast", "--rates: must be like 500,1000, not '500,fast'"),
        ("--stream-rates=0", "--stream-rates: must be rates of at least 1, not '0'"),
        ("--rates=inf", "--rates: must be rates of at least 1, not 'inf'"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_in_a_sentence(
    arguments: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([arguments])
    assert told in capsys.readouterr().err
