"""What becomes of one request: blocks from left to right, and in each as many positions a pass as the options say.

A fixed canvas is all masks from the start. One that grows gets the masks of a block when the block before is through,
so no pass sees masks behind the block that it fills; guidance then masks nothing but the prompt.

No two ways of adding up the same numbers round alike, so a decision that hangs by less than rounding falls one way or
the other and neither is wrong. Therefore the oracle takes every decision again with logits and confidences nudged back
and forth by far more than rounding moves them (float32 moves the logits of llada-tiny by up to 2e-5, those of
illada-tiny by up to 1e-4). If a decision then falls otherwise it is close, and what comes after it is nothing to
compare with.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from testing.oracle.networks import KeysAndValues, Network
from worker.decoding.randomness import Stream, signed, uniform
from worker.sampling_params import CacheMode, CanvasMode, Remasking, SamplingParams

LOGIT_NUDGE = 2e-4
CONFIDENCE_NUDGE = 5e-6
UNMOVED = (0, 0)
NUDGES = tuple((seed, sign) for seed in (0, 1) for sign in (1, -1))


@dataclass(kw_only=True)
class Outcome:
    """What becomes of a request: `committed` is position -> token, step (from 1) and log probability.

    `generated` is as long as the canvas came to be; where decoding stopped, it still has masks behind the end token.
    `certain_passes` are the forward passes before the first close decision, all of them if none is close.
    """

    generated: list[int]
    committed: dict[int, tuple[int, int, float]] = field(default_factory=dict)
    passes: int = 0
    certain_passes: int = 0
    stopped: bool = False


@torch.inference_mode()
def decode(
    model: Network,
    prompt: Sequence[int],
    options: SamplingParams,
    suffix: Sequence[int] = (),
    nudges: Sequence[tuple[int, int]] = NUDGES,
) -> Outcome:
    """Denoise one request from its masks to its end, and try each decision again with `nudges`."""
    return _Denoising(model, prompt, options, suffix, nudges).run()


class _Denoising:
    """Positions are counted from the first generated one, which is `first` on the canvas."""

    def __init__(
        self,
        model: Network,
        prompt: Sequence[int],
        options: SamplingParams,
        suffix: Sequence[int],
        nudges: Sequence[tuple[int, int]],
    ) -> None:
        self.nudges = nudges
        self.model, self.options, self.first = model, options, len(prompt)
        self.canvas: list[int] = list(prompt)
        self.unconditional = [model.mask_token_id] * len(prompt)
        self.kept: list[KeysAndValues] = []
        self.close = False
        self.outcome = Outcome(generated=[])
        if options.canvas is CanvasMode.FIXED:
            self._append_masks(options.gen_length)
        elif suffix:
            message = "a canvas that grows has no suffix"
            raise ValueError(message)
        self.canvas += suffix
        self.unconditional += [model.mask_token_id] * len(suffix)

    def run(self) -> Outcome:
        for block, steps in self._blocks():
            if self.options.canvas is CanvasMode.GROW:
                self._append_masks(len(block))
            self._denoise_block(block, steps)
            if self.outcome.stopped:
                break
        return self.outcome

    def _blocks(self) -> Iterator[tuple[range, int]]:
        """Yield each block with its steps."""
        length, block_length, steps = self.options.gen_length, self.options.block_length, self.options.steps
        blocks = math.ceil(length / block_length)
        for number in range(blocks):
            block = range(length)[number * block_length :][:block_length]
            if self.options.steps_per_block is not None:
                yield block, self.options.steps_per_block
            elif self.options.canvas is CanvasMode.GROW:
                yield block, max(1, steps * block_length // length)
            else:
                yield block, max(1, steps // blocks + (number < steps % blocks))

    def _append_masks(self, number: int) -> None:
        for tokens in (self.canvas, self.unconditional, self.outcome.generated):
            tokens.extend([self.model.mask_token_id] * number)

    def _denoise_block(self, block: range, steps: int) -> None:
        """Fill a block; where it has fewer masks than steps it is full before the steps whose quota would be 0."""
        self.kept = [(), ()]
        for step in itertools.count():
            masked = [position for position in block if position not in self.outcome.committed]
            if not masked or self.outcome.stopped:
                break
            logits = self._logits(block)[[position - block.start for position in masked]]
            self._commit(masked, logits, len(block) // steps + (step < len(block) % steps))

    def _logits(self, block: range) -> Tensor:
        """Return the model's logits of the block `[positions, vocabulary]`, guided where that is asked for."""
        guided = self._branch(0, self.canvas, block)
        if not self.options.cfg_scale:
            return guided
        unguided = self._branch(1, self.unconditional, block)
        return unguided + (self.options.cfg_scale + 1) * (guided - unguided)

    def _branch(self, branch: int, canvas: Sequence[int], block: range) -> Tensor:
        start, end = self.first + block.start, self.first + block.stop
        if self.kept[branch]:
            upto = end if self.options.kv_cache is CacheMode.DUAL else len(canvas)
            return self.model(canvas, start, upto, self.kept[branch])[0][: len(block)]
        logits, keys_and_values = self.model(canvas, 0, len(canvas), ())
        if self.options.kv_cache is not CacheMode.NONE:
            self.kept[branch] = keys_and_values
        return logits[start:end]

    def _commit(self, masked: Sequence[int], logits: Tensor, quota: int) -> None:
        decided = self._decide(masked, logits, quota, UNMOVED)
        self.close = self.close or any(self._decide(masked, logits, quota, nudge) != decided for nudge in self.nudges)
        self.outcome.passes += 1
        self.outcome.certain_passes += not self.close
        for position, token in decided.items():
            self.outcome.generated[position] = token
            self.canvas[self.first + position] = self.unconditional[self.first + position] = token
            logprob = logits[masked.index(position)].log_softmax(-1)[token].item()
            self.outcome.committed[position] = (token, self.outcome.passes, logprob)
        before_masks = itertools.takewhile(self.outcome.committed.__contains__, range(self.options.gen_length))
        self.outcome.stopped = any(self.outcome.generated[one] in self.options.end_token_ids for one in before_masks)

    def _decide(self, masked: Sequence[int], logits: Tensor, quota: int, nudge: tuple[int, int]) -> dict[int, int]:
        """Return which of the masked positions take which token."""
        rounding = self.model.rounding
        # Guidance multiplies what rounding did to the logits.
        logits = _nudged(logits.double().clone(), rounding * LOGIT_NUDGE * (1 + 2 * self.options.cfg_scale), nudge)
        for token, bias in self.options.logit_bias.items():
            logits[:, token] += bias
        if marker := self._next_of_marker(masked[0], logits.shape[1]):
            logits[0, marker[0]] += marker[1]
        tokens = self._tokens(masked, logits)
        confidences = _nudged(self._confidences(masked, logits, tokens), rounding * CONFIDENCE_NUDGE, nudge)
        ranked = confidences.argsort(descending=True, stable=True)
        if self.options.remasking is Remasking.SEQUENTIAL:
            ranked = torch.arange(len(masked))
        number = self._number(confidences[ranked].tolist(), quota)
        return {masked[place]: int(tokens[place]) for place in ranked[:number].tolist()}

    def _next_of_marker(self, leftmost: int, vocabulary: int) -> tuple[int, float] | None:
        """Return the token to raise at the leftmost masked position so that it ends the thinking, and by how much.

        It continues the longest beginning of the marker that stands right before. Nothing is raised where the whole
        marker stands already, be it behind a gap.
        """
        marker, generated = list(self.options.end_of_thinking_ids), self.outcome.generated
        if self.options.end_of_thinking_boost <= 0 or not marker or max(marker) >= vocabulary:
            return None
        if any(generated[start : start + len(marker)] == marker for start in range(len(generated))):
            return None
        said = max(
            length
            for length in range(min(len(marker), leftmost + 1))
            if generated[leftmost - length : leftmost] == marker[:length]
        )
        budget = self.options.gen_length if self.options.thinking_budget is None else self.options.thinking_budget
        progress = min(1, (leftmost + 1) / budget) ** self.options.end_of_thinking_power
        return marker[said], self.options.end_of_thinking_boost * progress

    def _tokens(self, masked: Sequence[int], logits: Tensor) -> Tensor:
        allowed = logits.index_fill(1, torch.tensor(self.model.mask_token_id), -torch.inf)
        early = torch.tensor(masked) < self.options.min_tokens
        for token in self.options.end_token_ids:
            allowed[early, token] = -torch.inf
        if not self.options.temperature:
            return allowed.argmax(-1)
        scaled, tokens = (allowed / self.options.temperature).sort(dim=-1, descending=True, stable=True)
        if self.options.min_p:
            scaled[scaled < scaled[:, :1] + math.log(self.options.min_p)] = -torch.inf
        if self.options.top_k:
            scaled[:, self.options.top_k :] = -torch.inf
        if self.options.top_p < 1:
            enough = scaled.softmax(-1).cumsum(-1) >= self.options.top_p
            scaled[:, 1:][enough[:, :-1]] = -torch.inf
        noise = self._uniform(Stream.TOKEN, masked, logits.shape[1]).gather(1, tokens)
        best = (scaled - torch.log(-torch.log(noise))).argmax(-1, keepdim=True)
        return tokens.gather(1, best)[:, 0]

    def _confidences(self, masked: Sequence[int], logits: Tensor, tokens: Tensor) -> Tensor:
        """Return how sure each token is in the softmax over all tokens, those included that may not be chosen."""
        probabilities = logits.softmax(-1)
        if self.options.remasking is Remasking.RANDOM:
            return self._uniform(Stream.REMASKING, masked, 1)[:, 0]
        if self.options.remasking is Remasking.MARGIN:
            likeliest = probabilities.topk(2).values
            return likeliest[:, 0] - likeliest[:, 1]
        if self.options.remasking is Remasking.ENTROPY:
            return torch.exp(-torch.special.entr(probabilities).sum(-1))
        return probabilities.gather(1, tokens[:, None])[:, 0]

    def _number(self, confidences: Sequence[float], quota: int) -> int:
        """Return how many positions to commit, given confidences in the order in which positions are committed.

        A step commits as many as it has to, and further ones up to the first that does not pass. In sequential
        remasking that order is from left to right, and a threshold still judges how sure the token of each is.
        """
        options = self.options
        least = quota if options.threshold is None and options.factor is None else 1
        least = max(least, options.min_parallel_tokens)
        further = list(enumerate(confidences, 1))[least:]
        number = least + len(list(itertools.takewhile(self._passes, further)))
        return min(number, options.max_parallel_tokens or number, len(confidences))

    def _passes(self, candidate: tuple[int, float]) -> bool:
        rank, sure = candidate
        threshold, factor = self.options.threshold, self.options.factor
        return (threshold is not None and sure >= threshold) or (
            factor is not None and (rank + 1) * (1 - sure) < factor
        )

    def _uniform(self, stream: Stream, masked: Sequence[int], columns: int) -> Tensor:
        positions = torch.tensor(masked)
        seeds = torch.full_like(positions, signed(self.options.seed))
        return uniform(stream, seeds, positions, torch.full_like(positions, self.outcome.passes), columns)


def _nudged(values: Tensor, by: float, nudge: tuple[int, int]) -> Tensor:
    seed, sign = nudge
    if not sign:
        return values
    noise = torch.randn(values.shape, dtype=values.dtype, generator=torch.Generator().manual_seed(seed))
    return values + sign * by * noise
