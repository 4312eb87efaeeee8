import pytest
import torch

from worker.decoding.randomness import Stream, signed, uniform


def numbers(seed: int, count: int, columns: int, stream: Stream = Stream.TOKEN) -> torch.Tensor:
    positions = torch.arange(count)
    return uniform(stream, torch.full((count,), signed(seed)), positions, torch.zeros_like(positions), columns)


def test_numbers_are_uniform_and_never_0_or_1() -> None:
    drawn = numbers(3, 1000, 100).flatten()
    assert drawn.min() > 0
    assert drawn.max() < 1
    assert drawn.histc(10, 0, 1) / len(drawn) == pytest.approx(torch.full((10,), 0.1, dtype=torch.float64), abs=0.005)


def test_neighbouring_keys_and_counters_are_uncorrelated() -> None:
    drawn = numbers(3, 400, 400)
    assert abs(torch.corrcoef(torch.stack((drawn[:-1].flatten(), drawn[1:].flatten())))[0, 1]) < 0.01
    assert abs(torch.corrcoef(torch.stack((drawn[:, :-1].flatten(), drawn[:, 1:].flatten())))[0, 1]) < 0.01


def test_streams_of_one_seed_differ() -> None:
    assert not torch.equal(numbers(3, 4, 4), numbers(3, 4, 4, Stream.REMASKING))


def test_every_64_bit_seed_is_its_own() -> None:
    seeds = (0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
    assert len({numbers(seed, 1, 1).item() for seed in seeds}) == len(seeds)
