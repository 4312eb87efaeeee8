import torch

from worker.decoding.confidence import confidence, log_probability
from worker.decoding.sampling import SamplingKnobs


def test_nearly_certain_tokens_are_ranked_as_in_float64() -> None:
    torch.manual_seed(0)
    logits = torch.randn(64, 50)
    logits[:, 3] = torch.linspace(25, 35, 64)
    logits[:, 4] = logits[:, 3] - torch.linspace(12, 8, 64)
    chosen = torch.full((64,), 3)
    exact = logits.double().softmax(-1)[:, 3]
    assert log_probability(logits, chosen).argsort().tolist()[0] == exact.argmin().item()
    assert len(log_probability(logits, chosen).unique()) > 40
    assert torch.allclose(log_probability(logits, chosen).double().exp(), exact, rtol=0, atol=1e-7)


def test_random_remasking_draws_and_the_others_take_the_probability() -> None:
    zeros = torch.zeros(2, dtype=torch.int64)
    knobs = SamplingKnobs(
        temperature=zeros.double(), top_p=zeros.double(), top_k=zeros, seeds=zeros, positions=zeros, steps=zeros
    )
    drawn, taken = confidence(torch.tensor([-1.0, -1.0]), torch.tensor([True, False]), knobs).tolist()
    assert abs(taken - 0.36788) < 1e-5
    assert 0 < drawn < 1
    assert drawn != taken
