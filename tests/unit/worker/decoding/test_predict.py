import torch

from tests.unit.worker.decoding.drawing import sampling_tensors
from worker.decoding.predict import guided, predict
from worker.decoding.sampling_metadata import Bias, Excluded

MASK = 3
LOGITS = torch.tensor([[2.0, 1.0, 0.0, 9.0], [0.0, 1.0, 2.0, -9.0]])


def test_the_mask_token_is_never_chosen_and_counts_in_the_softmax() -> None:
    predicted = predict(LOGITS.clone(), MASK, sampling_tensors(2))
    assert predicted.tokens.tolist() == [0, 2]
    own = LOGITS.log_softmax(-1)
    assert torch.allclose(predicted.logprobs, own[[0, 1], [0, 2]])
    assert torch.allclose(predicted.confidences, predicted.logprobs.double().exp())


def test_a_bias_decides_and_the_logprob_stays_the_model_s_own() -> None:
    second = torch.tensor([1])
    bias = Bias(biased_rows=second, rows=second, tokens=torch.tensor([0]), values=torch.tensor([50.0]))
    predicted = predict(LOGITS.clone(), MASK, sampling_tensors(2, bias=bias))
    assert predicted.tokens.tolist() == [0, 0]
    assert torch.allclose(predicted.logprobs, LOGITS.log_softmax(-1)[:, 0])
    assert predicted.confidences[1] > 0.999
    assert predicted.confidences[0] == predict(LOGITS.clone(), MASK, sampling_tensors(2)).confidences[0]


def test_what_is_excluded_is_not_chosen_and_counts_in_the_softmax() -> None:
    first = Excluded(torch.tensor([0]), torch.tensor([0]))
    predicted = predict(LOGITS.clone(), MASK, sampling_tensors(2, excluded=first))
    assert predicted.tokens.tolist() == [1, 2]
    assert torch.allclose(predicted.confidences, LOGITS.softmax(-1)[[0, 1], [1, 2]].double())


def test_alternatives_are_told_of_the_rows_that_ask_and_in_order() -> None:
    predicted = predict(LOGITS.clone(), MASK, sampling_tensors(2, logprob_rows=torch.tensor([1]), num_logprobs=2))
    assert predicted.top_ids.tolist() == [[2, 1]]
    assert torch.allclose(predicted.top_logprobs, LOGITS.log_softmax(-1)[1:, [2, 1]])
    assert predict(LOGITS.clone(), MASK, sampling_tensors(2)).top_ids.shape == (0, 0)


def test_guidance_of_zero_is_none_and_more_moves_away_from_the_unconditional() -> None:
    conditional, unconditional = torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 1.0]])
    assert guided(conditional, unconditional, torch.tensor([0.0])).tolist() == [[3.0, 1.0]]
    assert guided(conditional, unconditional, torch.tensor([1.5])).tolist() == [[6.0, 1.0]]
