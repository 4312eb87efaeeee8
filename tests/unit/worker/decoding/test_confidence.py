import torch

from tests.unit.worker.decoding.drawing import sampling_tensors
from worker.decoding.confidence import confidence

ROWS = torch.tensor([0, 1])


def test_nearly_certain_tokens_are_ranked_as_in_float64() -> None:
    torch.manual_seed(0)
    logits = torch.randn(64, 50)
    logits[:, 3] = torch.linspace(25, 35, 64)
    logits[:, 4] = logits[:, 3] - torch.linspace(12, 8, 64)
    exact = logits.double().softmax(-1)[:, 3]
    sure = confidence(logits.log_softmax(-1), torch.full((64,), 3), sampling_tensors(64))
    assert sure.argmin() == exact.argmin()
    assert len(sure.unique()) > 40
    assert torch.allclose(sure, exact, rtol=0, atol=1e-7)


def test_each_kind_measures_what_it_is_named_after() -> None:
    probabilities = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]])
    logs, tokens = probabilities.log(), torch.tensor([1, 1])
    assert torch.allclose(confidence(logs, tokens, sampling_tensors(2)), torch.tensor([0.3, 0.8]).double())
    margin = confidence(logs, tokens, sampling_tensors(2, margin_rows=ROWS))
    assert torch.allclose(margin, torch.tensor([0.2, 0.7]).double())
    entropy = -(probabilities * logs).sum(-1)
    assert torch.allclose(confidence(logs, tokens, sampling_tensors(2, entropy_rows=ROWS)), (-entropy).exp().double())


def test_the_rows_of_one_batch_each_have_their_own_kind() -> None:
    logs = torch.tensor([[0.5, 0.3, 0.2]]).log().repeat(4, 1)
    kinds = {"margin_rows": torch.tensor([1]), "entropy_rows": torch.tensor([2]), "random_rows": torch.tensor([3])}
    tokens = torch.zeros(4, dtype=torch.int64)
    taken, margin, entropy, drawn = confidence(logs, tokens, sampling_tensors(4, **kinds)).tolist()
    assert abs(taken - 0.5) < 1e-6
    assert abs(margin - 0.2) < 1e-6
    assert abs(entropy - 0.357) < 1e-3
    assert 0 < drawn < 1
    assert drawn not in (taken, margin, entropy)


def test_a_token_that_is_certain_has_no_entropy() -> None:
    logs = torch.tensor([[0.0, -torch.inf, -torch.inf]])
    assert confidence(logs, torch.tensor([0]), sampling_tensors(1, entropy_rows=torch.tensor([0]))).tolist() == [1.0]
