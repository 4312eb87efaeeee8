"""Scores the demo model on held-out conversations, task by task: `just eval-demo`.

The replies are made by the worker's own engine with the model's own defaults, as a client gets them. A reply counts if
it is exactly the expected one.
"""

import argparse
import queue
import random
import re
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast  # not AutoTokenizer, with which torch's compiler comes

from textdiffusion.settings import GenerationSettings
from textdiffusion.v1 import textdiffusion_pb2 as pb
from training.conversations import TASKS, Conversation, Writer
from worker.engine.engine import Engine
from worker.engine.request import Update
from worker.engine.scheduler import Limits
from worker.models.checkpoint import Checkpoint
from worker.models.llada import LLADA
from worker.models.loading import choose_dtype, load_model
from worker.options import defaults_for, settle
from worker.sampling_params import SamplingParams

DEMO = Path(__file__).parent.parent / "models" / "demo"
TABLE = re.compile(r"(?<=<!-- scores -->\n).*?(?=<!-- end of scores -->)", re.DOTALL)


@dataclass(slots=True)
class Score:
    """What one task came to; `wrong` holds some of the replies that were not the expected ones."""

    right: int = 0
    replies: int = 0
    forward_passes: int = 0
    wrong: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def exact(self) -> float:
        return self.right / self.replies

    @property
    def passes(self) -> float:
        return self.forward_passes / self.replies


class Examiner:
    """Asks a checkpoint's engine, many conversations at once."""

    def __init__(self, folder: Path, dtype: str, device: str = "cpu") -> None:
        place = torch.device(device)
        checkpoint = Checkpoint.find(str(folder))
        self.defaults = defaults_for(checkpoint, GenerationSettings(), LLADA)
        model = load_model(checkpoint, place, choose_dtype(dtype, place))
        limits = Limits(max_running=32, max_waiting=10_000, positions=32 * model.spec.max_positions)
        self.engine = Engine(model, limits)
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)

    def score(self, conversations: list[Conversation], options: SamplingParams | None = None) -> Score:
        """With these options, or with the model's own defaults."""
        score = Score()
        answers = [self._ask(conversation, options) for conversation in conversations]
        for conversation, answer in zip(conversations, answers, strict=True):
            last = answer.get()
            while not last.finish_reason:
                last = answer.get()
            turn = conversation.turns[-1]
            reply = str(self.tokenizer.decode(list(last.canvas[: last.ready])))
            score.replies += 1
            score.forward_passes += last.forward_passes
            score.right += reply == turn.reply
            if reply != turn.reply:
                score.wrong.append((turn.user, turn.reply, reply))
        return score

    def _ask(self, conversation: Conversation, options: SamplingParams | None) -> "queue.SimpleQueue[Update]":
        text = self.tokenizer.apply_chat_template(conversation.messages(), tokenize=False)
        prompt = self.tokenizer.encode(text, add_special_tokens=False)
        updates: queue.SimpleQueue[Update] = queue.SimpleQueue()
        request = pb.GenerateRequest(prompt=pb.Tokens(ids=prompt))
        chosen = options or settle(request, self.defaults, self.engine.model.spec)
        self.engine.submit("exam", prompt, chosen, updates.put)
        return updates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=DEMO)
    parser.add_argument("--count", type=int, default=300, help="conversations per task")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--task", choices=TASKS, action="append", help="only this one; may be given again")
    parser.add_argument("--wrong", type=int, default=0, help="show this many wrong replies per task")
    parser.add_argument("--write-card", action="store_true", help="put the table into the model's README.md")
    arguments = parser.parse_args()

    examiner = Examiner(arguments.model, arguments.dtype)
    examiner.engine.start()
    rows = ["| task | exact | forward passes per reply |", "|---|---|---|"]
    print("\n".join(rows))
    for task in arguments.task or TASKS:
        writer = Writer(random.Random(f"{arguments.seed} {task}"), held_out=True)
        score = examiner.score([writer.conversation(task) for _ in range(arguments.count)])
        rows.append(f"| {task} | {score.exact:.1%} | {score.passes:.1f} |")
        print(rows[-1], flush=True)
        for user, expected, reply in score.wrong[: arguments.wrong]:
            print(f"    {user!r}: expected {expected!r}, got {reply!r}")
    examiner.engine.stop()
    if arguments.write_card:
        card = arguments.model / "README.md"
        card.write_text(TABLE.sub("\n".join(rows) + "\n", card.read_text()))


if __name__ == "__main__":
    main()
