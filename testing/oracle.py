"""The decoding algorithms straight from their definitions: one request, no batch, plain loops over whole logits.

What the engine does for many requests at once, and as fast as it can, has to come out as it does here. The two share
nothing but the names of the options and the random numbers; the network too is written out again.

No two ways of adding up the same numbers round alike, so a decision that hangs by less than rounding falls one way or
the other and neither is wrong. Therefore the oracle takes every decision again with logits and confidences nudged back
and forth by far more than rounding moves them (float32 moves the logits of llada-tiny by up to 2e-5). If a decision
then falls otherwise it is close, and what comes after it is nothing to compare with.
"""

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from worker.decoding.randomness import Stream, signed, uniform
from worker.sampling_params import CacheMode, Remasking, SamplingParams

LOGIT_NUDGE = 2e-4
CONFIDENCE_NUDGE = 5e-6
UNMOVED = (0, 0)
NUDGES = tuple((seed, sign) for seed in (0, 1) for sign in (1, -1))

KeysAndValues = Sequence[tuple[Tensor, Tensor]]


@dataclass(kw_only=True)
class Outcome:
    """What becomes of a request: `committed` is position -> token, step (from 1) and log probability.

    `certain_passes` are the forward passes before the first close decision, all of them if none is close.
    """

    generated: list[int]
    committed: dict[int, tuple[int, int, float]] = field(default_factory=dict)
    passes: int = 0
    certain_passes: int = 0
    stopped: bool = False


class Transformer:
    """LLaDA, with the weights of a checkpoint."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        self.mask_token_id: int = self.config["mask_token_id"]
        weights = load_file(folder / "model.safetensors")
        self._weights = {name.removeprefix("model.transformer."): weight.to(dtype) for name, weight in weights.items()}

    def __call__(
        self, canvas: Sequence[int], start: int, end: int, kept: KeysAndValues
    ) -> tuple[Tensor, KeysAndValues]:
        """Logits, keys and values of positions `start` to `end`; keys and values of all others are those `kept`."""
        rows = self._weights["wte.weight"][torch.tensor(canvas[start:end])]
        fresh = []
        for layer in range(self.config["n_layers"]):
            normed = self._norm(rows, f"blocks.{layer}.attn_norm")
            queries, keys, values = (
                self._linear(normed, f"blocks.{layer}.{name}_proj").unflatten(-1, (self.config["n_heads"], -1))
                for name in "qkv"
            )
            queries, keys = self._rotate(queries, start), self._rotate(keys, start)
            fresh.append((keys, values))
            if kept:
                keys, values = (
                    torch.cat((old[:start], new, old[end:])) for old, new in zip(kept[layer], fresh[layer], strict=True)
                )
            weights = torch.einsum("qhd,khd->hqk", queries, keys).div(math.sqrt(keys.shape[-1])).softmax(-1)
            attended = torch.einsum("hqk,khd->qhd", weights, values).flatten(1)
            rows = rows + self._linear(attended, f"blocks.{layer}.attn_out")
            normed = self._norm(rows, f"blocks.{layer}.ff_norm")
            gate = functional.silu(self._linear(normed, f"blocks.{layer}.ff_proj"))
            rows = rows + self._linear(gate * self._linear(normed, f"blocks.{layer}.up_proj"), f"blocks.{layer}.ff_out")
        return self._linear(self._norm(rows, "ln_f"), "ff_out"), fresh

    def _linear(self, rows: Tensor, name: str) -> Tensor:
        return rows @ self._weights[f"{name}.weight"].T

    def _norm(self, rows: Tensor, name: str) -> Tensor:
        scale = torch.rsqrt(rows.square().mean(-1, keepdim=True) + self.config["rms_norm_eps"])
        return rows * scale * self._weights[f"{name}.weight"]

    def _rotate(self, heads: Tensor, start: int) -> Tensor:
        length, _, size = heads.shape
        frequencies = self.config["rope_theta"] ** -(torch.arange(0, size, 2).double() / size)
        angles = torch.outer(torch.arange(start, start + length).double(), frequencies)[:, None]
        cos, sin = angles.cos().to(heads.dtype), angles.sin().to(heads.dtype)
        first, second = heads.chunk(2, dim=-1)
        return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


@torch.inference_mode()
def decode(
    model: Transformer,
    prompt: Sequence[int],
    options: SamplingParams,
    suffix: Sequence[int] = (),
    nudges: Sequence[tuple[int, int]] = NUDGES,
) -> Outcome:
    """Denoises one request from its masks to its end, and tries each decision again with `nudges`."""
    return _Denoising(model, prompt, options, suffix, nudges).run()


class _Denoising:
    """Positions are counted from the first generated one, which is `first` on the canvas."""

    def __init__(
        self,
        model: Transformer,
        prompt: Sequence[int],
        options: SamplingParams,
        suffix: Sequence[int],
        nudges: Sequence[tuple[int, int]],
    ) -> None:
        self.nudges = nudges
        self.model, self.options, self.first = model, options, len(prompt)
        masks = [model.mask_token_id] * options.gen_length
        self.canvas = [*prompt, *masks, *suffix]
        self.unconditional = [model.mask_token_id] * len(self.canvas)
        self.kept: list[KeysAndValues] = []
        self.close = False
        self.outcome = Outcome(generated=masks)

    def run(self) -> Outcome:
        length, block_length = self.options.gen_length, self.options.block_length
        blocks = math.ceil(length / block_length)
        for number in range(blocks):
            steps = max(1, self.options.steps // blocks + (number < self.options.steps % blocks))
            self._denoise_block(range(length)[number * block_length :][:block_length], steps)
        return self.outcome

    def _denoise_block(self, block: range, steps: int) -> None:
        self.kept = [(), ()]
        for step in itertools.count():
            masked = [position for position in block if position not in self.outcome.committed]
            if not masked or self.outcome.stopped:
                break
            logits = self._logits(block)[[position - block.start for position in masked]]
            self._commit(masked, logits, len(block) // steps + (step < len(block) % steps))

    def _logits(self, block: range) -> Tensor:
        """The model's logits of the block `[positions, vocabulary]`, guided where that is asked for."""
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
        """Which of the masked positions take which token."""
        # Guidance multiplies what rounding did to the logits.
        logits = _nudged(logits.double().clone(), LOGIT_NUDGE * (1 + 2 * self.options.cfg_scale), nudge)
        for token, bias in self.options.logit_bias.items():
            logits[:, token] += bias
        tokens = self._tokens(masked, logits)
        confidences = _nudged(self._confidences(masked, logits, tokens), CONFIDENCE_NUDGE, nudge)
        ranked = confidences.argsort(descending=True, stable=True)
        number = self._number(confidences[ranked].tolist(), quota)
        return {masked[place]: int(tokens[place]) for place in ranked[:number].tolist()}

    def _tokens(self, masked: Sequence[int], logits: Tensor) -> Tensor:
        allowed = logits.index_fill(1, torch.tensor(self.model.mask_token_id), -torch.inf)
        if not self.options.temperature:
            return allowed.argmax(-1)
        scaled, tokens = (allowed / self.options.temperature).sort(dim=-1, descending=True, stable=True)
        if self.options.top_k:
            scaled[:, self.options.top_k :] = -torch.inf
        if self.options.top_p < 1:
            enough = scaled.softmax(-1).cumsum(-1) >= self.options.top_p
            scaled[:, 1:][enough[:, :-1]] = -torch.inf
        noise = self._uniform(Stream.TOKEN, masked, logits.shape[1]).gather(1, tokens)
        best = (scaled - torch.log(-torch.log(noise))).argmax(-1, keepdim=True)
        return tokens.gather(1, best)[:, 0]

    def _confidences(self, masked: Sequence[int], logits: Tensor, tokens: Tensor) -> Tensor:
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
        """How many positions to commit, given the model's confidences, surest first."""
        if self.options.threshold is not None:
            quota = max(1, sum(sure >= self.options.threshold for sure in confidences))
        if self.options.factor is not None:
            held = (n for n, sure in enumerate(confidences, 1) if (n + 1) * (1 - sure) < self.options.factor)
            quota = max(held, default=1)
        return min(quota, self.options.max_parallel_tokens or quota)

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
