"""Trains the demo model: `python -m training.train`. Resumes where it stopped; a seed gives the same model again.

One step takes a batch of conversations, hides part of each last reply (and sometimes of the earlier ones), and learns
to fill it in, as in LLaDA's supervised fine-tuning: the reply is followed by end tokens up to the length of the canvas.
Canvases are hidden as decoding meets them: blocks to the left are done, blocks to the right untouched.
Tasks that are not learned yet are drawn more often.
"""

import argparse
import json
import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from training import tokenizer as demo_tokenizer
from training.conversations import TASKS, Conversation, Writer
from worker.models.llada import LLADA
from worker.models.transformer import Transformer

DEMO = Path(__file__).parent.parent / "models" / "demo"
BLOCK_LENGTH = 32
BATCH = 48
# A batch is cut from this many conversations of like length, so that little of it is padding.
POOL = 8
FILL_WEIGHT = 0.1
LEARNING_RATE = 3e-3


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of the training; `rate` is its highest learning rate, of that of the first."""

    steps: int
    rate: float
    near_misses: bool


# What only looks like a task is told apart best by a model that knows the tasks.
STAGES = (Stage(7000, 1.0, near_misses=False), Stage(500, 0.3, near_misses=True))


@dataclass(slots=True)
class Example:
    """Token ids, what is hidden of them, and how much each hidden position counts."""

    task: str
    ids: list[int]
    hidden: list[bool]
    weights: list[float]


class Curriculum:
    """Draws tasks; those whose replies come out right are drawn less often."""

    def __init__(self, accuracy: dict[str, float] | None = None) -> None:
        self.accuracy = accuracy or dict.fromkeys(TASKS, 0.0)

    def draw(self, rng: random.Random, count: int) -> list[str]:
        weights = [0.12 + (1 - self.accuracy[task]) for task in TASKS]
        return rng.choices(TASKS, weights, k=count)

    def learned(self, task: str, right: bool) -> None:
        self.accuracy[task] += 0.005 * (right - self.accuracy[task])


class Canvases:
    """Turns conversations into examples."""

    def __init__(self, tokenizer: Tokenizer, rng: random.Random) -> None:
        self.tokenizer = tokenizer
        self.rng = rng
        self.writer = Writer(rng, held_out=False)
        vocabulary = tokenizer.get_vocab()
        self.mask = vocabulary[demo_tokenizer.MASK]
        self.end_of_turn, self.end_of_text = vocabulary[demo_tokenizer.EOT], vocabulary[demo_tokenizer.EOS]

    def example(self, task: str, gen_length: int) -> Example:
        conversation = self.writer.conversation(task)
        pieces = self._pieces(conversation)
        ids: list[int] = []
        hidden: list[bool] = []
        exercise = len({turn.task for turn in conversation.turns}) == 1
        review = exercise or self.rng.random() < 0.4
        for text, is_reply in pieces[:-1]:
            piece = self.tokenizer.encode(text).ids
            ids += piece
            hidden += self._sprinkled(len(piece)) if review and is_reply else [False] * len(piece)
        reply = [*self.tokenizer.encode(pieces[-1][0]).ids, self.end_of_turn]
        length = max(gen_length, len(reply))
        weights = [1.0] * (len(ids) + len(reply)) + [FILL_WEIGHT] * (length - len(reply))
        ids += reply + [self.end_of_text] * (length - len(reply))
        hidden += self._canvas(len(reply), length)
        return Example(task, ids, hidden, weights)

    def _pieces(self, conversation: Conversation) -> list[tuple[str, bool]]:
        """The conversation in the chat template's format, cut where replies begin and end."""
        pieces, text = [], demo_tokenizer.BOS
        for message in conversation.messages():
            text += f"{demo_tokenizer.HEADER_START}{message['role']}{demo_tokenizer.HEADER_END}\n\n"
            if message["role"] == "assistant":
                pieces.append((text, False))
                pieces.append((message["content"] + demo_tokenizer.EOT, True))
                text = ""
            else:
                text += message["content"] + demo_tokenizer.EOT
        text += f"{demo_tokenizer.HEADER_START}assistant{demo_tokenizer.HEADER_END}\n\n"
        return [*pieces, (text, False), (conversation.turns[-1].reply, True)]

    def _sprinkled(self, length: int) -> list[bool]:
        share = self.rng.choice((1.0, self.rng.random()))
        return [self.rng.random() < share for _ in range(length)]

    def _canvas(self, reply: int, length: int) -> list[bool]:
        """What decoding has not filled in yet, somewhere on its way through the block that holds part of the reply."""
        block = self.rng.randrange((reply - 1) // BLOCK_LENGTH + 1) * BLOCK_LENGTH
        within = min(BLOCK_LENGTH, length - block)
        kind = self.rng.random()
        if kind < 0.4:
            current = [True] * within
        elif kind < 0.7:
            current = self._sprinkled(within)
        else:
            done = self.rng.randrange(within)
            current = [False] * done + [True] * (within - done)
        if not any(current):
            current[self.rng.randrange(within)] = True
        return [False] * block + current + [True] * (length - block - within)


@dataclass(slots=True)
class Batch:
    """Examples padded to one length: `ids`, `inputs`, `weights`, `valid` are `[batch, length]`."""

    tasks: list[str]
    ids: Tensor
    inputs: Tensor
    weights: Tensor
    valid: Tensor


def collate(examples: list[Example], mask: int) -> Batch:
    # Few different shapes: for each one the matrix library compiles its kernels anew.
    length = -(-max(len(example.ids) for example in examples) // 16) * 16

    def padded(rows: list[list[int]] | list[list[float]] | list[list[bool]], value: float) -> Tensor:
        return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows])

    ids = padded([example.ids for example in examples], 0)
    hidden = padded([example.hidden for example in examples], value=False)
    weights = padded([example.weights for example in examples], 0.0) * hidden
    valid = padded([[True] * len(example.ids) for example in examples], value=False)
    inputs = torch.where(hidden, mask, ids)
    return Batch([example.task for example in examples], ids, inputs, weights, valid)


def forward(model: Transformer, batch: Batch) -> Tensor:
    """Logits `[batch, length, vocabulary]`."""
    size, length = batch.inputs.shape
    visible = batch.valid[:, None, None, :]

    def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        del layer
        query, key, value = (
            rows.float().reshape(size, length, *rows.shape[1:]).transpose(1, 2) for rows in (queries, keys, values)
        )
        # Its backward pass on a CPU is three times as fast in float32 as in bfloat16.
        with torch.autocast(queries.device.type, enabled=False):
            attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=visible)
        return attended.transpose(1, 2).flatten(0, 1)

    positions = torch.arange(length, device=batch.inputs.device).repeat(size)
    logits = model.compute_logits(model(batch.inputs.flatten(), positions, attend))
    return logits.reshape(size, length, -1)


def loss_of(logits: Tensor, batch: Batch) -> tuple[Tensor, list[bool]]:
    """The weighted cross entropy of what is hidden, and which examples were filled in without a fault."""
    losses = functional.cross_entropy(logits.flatten(0, 1).float(), batch.ids.flatten(), reduction="none")
    loss = (losses * batch.weights.flatten()).sum() / batch.weights.sum()
    wrong = (logits.argmax(-1) != batch.ids) & (batch.weights > FILL_WEIGHT)
    return loss, (~wrong.any(1)).tolist()


class Trainer:
    """The model, its optimizers and all that a checkpoint has to hold."""

    def __init__(self, arguments: argparse.Namespace, config: dict[str, object], tokenizer: Tokenizer) -> None:
        torch.manual_seed(arguments.seed)
        self.device = torch.device(arguments.device)
        self.step = 0
        self.rng = random.Random(arguments.seed)
        self.canvases = Canvases(tokenizer, self.rng)
        self.curriculum = Curriculum()
        self.pool: list[list[Example]] = []
        self.model = Transformer(LLADA.parse(config)).to(self.device)
        self._initialise()
        matrices = [weight for weight in self.model.layers.parameters() if weight.ndim == 2]
        chosen = {id(weight) for weight in matrices}
        others = [weight for weight in self.model.parameters() if id(weight) not in chosen]
        # Muon learns the hidden matrices of so small a model in about half the steps that AdamW takes.
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(matrices, lr=LEARNING_RATE, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=LEARNING_RATE, weight_decay=0.0, betas=(0.9, 0.98)),
        ]

    def _initialise(self) -> None:
        torch.nn.init.normal_(self.model.embedding.weight, std=0.5)
        for name, weight in self.model.named_parameters():
            if weight.ndim == 2 and name != "embedding.weight":
                torch.nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
            if name.endswith(("attention_out.weights.0", "down.weights.0")):
                torch.nn.init.zeros_(weight)

    def train_step(self) -> float:
        self._enter_stage()
        batch = self._next_batch()
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = forward(self.model, batch)
        loss, right = loss_of(logits, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        for task, was_right in zip(batch.tasks, right, strict=True):
            self.curriculum.learned(task, was_right)
        self.step += 1
        return loss.item()

    def _enter_stage(self) -> None:
        """Sets what the step under way is to learn, and how fast."""
        left = sum(stage.steps for stage in STAGES) - self.step
        later = 0
        for stage in reversed(STAGES):
            if left - later <= stage.steps:
                break
            later += stage.steps
        self.canvases.writer.near_misses = stage.near_misses
        warm = min(1.0, (self.step + 1) / 200)
        cool = min(1.0, max(0.02, (left - later) / (0.45 * stage.steps)))
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * stage.rate * warm * cool

    def _next_batch(self) -> Batch:
        if not self.pool:
            # The canvas is as long as what a client asks for; most of the time the shortest that serves.
            gen_length = self.rng.choices((32, 64, 128), (24, 5, 2))[0]
            tasks = self.curriculum.draw(self.rng, BATCH * POOL)
            examples = sorted((self.canvases.example(task, gen_length) for task in tasks), key=lambda one: len(one.ids))
            self.pool = [examples[start : start + BATCH] for start in range(0, len(examples), BATCH)]
            self.rng.shuffle(self.pool)
        batch = collate(self.pool.pop(), self.canvases.mask)
        return Batch(
            batch.tasks, *(rows.to(self.device) for rows in (batch.ids, batch.inputs, batch.weights, batch.valid))
        )

    def save(self, path: Path) -> None:
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "random": self.rng.getstate(),
            "accuracy": self.curriculum.accuracy,
            "pool": self.pool,
        }
        path.parent.mkdir(exist_ok=True)
        torch.save(state, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def resume(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=False)
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.rng.setstate(state["random"])
        self.curriculum.accuracy = state["accuracy"]
        self.pool = state["pool"]

    def export(self, path: Path) -> None:
        """Writes the weights in the published layout, in bfloat16."""
        own = self.model.state_dict()
        weights = {
            name: own[parameter].detach().to("cpu", torch.bfloat16).contiguous()
            for name, parameter in LLADA.weight_names(self.model.config).items()
        }
        save_file(weights, path, metadata={"format": "pt"})
        path.chmod(0o644)


def config_for(tokenizer: Tokenizer) -> dict[str, object]:
    """config.json of the demo model."""
    vocabulary = tokenizer.get_vocab_size()
    return {
        "architectures": ["LLaDAModelLM"],
        "model_type": "llada",
        "block_type": "llama",
        "d_model": 256,
        "n_layers": 6,
        "n_heads": 8,
        "n_kv_heads": 8,
        "mlp_hidden_size": 640,
        "vocab_size": vocabulary,
        "embedding_size": vocabulary,
        "max_sequence_length": 1024,
        "rope": True,
        "rope_theta": 10000.0,
        "rope_full_precision": True,
        "layer_norm_type": "rms",
        "rms_norm_eps": 1e-5,
        "activation_type": "silu",
        "include_bias": False,
        "include_qkv_bias": False,
        "weight_tying": False,
        "alibi": False,
        "mask_token_id": tokenizer.token_to_id(demo_tokenizer.MASK),
        "eos_token_id": tokenizer.token_to_id(demo_tokenizer.EOS),
        "pad_token_id": tokenizer.token_to_id(demo_tokenizer.EOS),
        "torch_dtype": "bfloat16",
    }


GENERATION_DEFAULTS = {"max_tokens": 128, "block_length": BLOCK_LENGTH, "threshold": 0.9, "temperature": 0.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=DEMO, help="folder for the finished model")
    parser.add_argument("--fresh", action="store_true", help="do not resume")
    arguments = parser.parse_args()
    arguments.out.mkdir(exist_ok=True)
    checkpoint = arguments.out / "checkpoint" / "training.pt"

    tokenizer = demo_tokenizer.build()
    demo_tokenizer.save(tokenizer, arguments.out)
    config = config_for(tokenizer)
    (arguments.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (arguments.out / "generation_config.json").write_text(json.dumps(GENERATION_DEFAULTS, indent=2) + "\n")

    trainer = Trainer(arguments, config, tokenizer)
    if checkpoint.exists() and not arguments.fresh:
        trainer.resume(checkpoint)
    train(trainer, checkpoint, arguments.out / "model.safetensors")


def train(trainer: Trainer, checkpoint: Path, weights: Path) -> None:
    parameters = sum(weight.numel() for weight in trainer.model.parameters())
    steps = sum(stage.steps for stage in STAGES)
    print(f"{parameters:,} parameters, from step {trainer.step} to {steps}", flush=True)
    began, loss = time.monotonic(), 0.0
    while trainer.step < steps:
        loss += (trainer.train_step() - loss) * 0.05
        if trainer.step % 50 == 0:
            seconds, began = (time.monotonic() - began) / 50, time.monotonic()
            left = (steps - trainer.step) * seconds / 60
            learned = " ".join(f"{task}={right:.2f}" for task, right in trainer.curriculum.accuracy.items())
            print(f"step {trainer.step} loss {loss:.3f} {seconds:.2f} s/step {left:.0f} min left {learned}", flush=True)
        if trainer.step % 250 == 0:
            trainer.save(checkpoint)
            trainer.export(weights)


if __name__ == "__main__":
    main()
