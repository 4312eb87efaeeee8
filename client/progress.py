"""How far an answer is that is being watched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from client.chunks import Chunk


@dataclass(frozen=True, slots=True)
class Progress:
    """After one of the chunks of an answer; times are in seconds, by one clock."""

    began: float
    now: float
    first_text: float | None = None  # when it came
    text: str = ""
    length: int | None = None  # of the answer in tokens, once it is whole; what stands behind was not needed
    step: int = 0
    tokens: Sequence[str | None] = ()
    confidences: Mapping[int, float] = field(default_factory=dict)  # of what was committed, by position
    latest: frozenset[int] = frozenset()  # positions that the last step committed

    def after(self, chunk: Chunk, now: float) -> "Progress":
        told = replace(
            self,
            now=now,
            text=self.text + chunk.text,
            length=self.length if chunk.length is None else chunk.length,
            first_text=now if chunk.text and self.first_text is None else self.first_text,
        )
        canvas = chunk.canvas
        if canvas is None:
            return told
        # An event may show a canvas once more, with nothing in it about what the step committed.
        again = canvas.step == self.step and not canvas.committed
        return replace(
            told,
            step=canvas.step,
            tokens=canvas.tokens,
            confidences={**self.confidences, **canvas.committed},
            latest=self.latest if again else frozenset(canvas.committed),
        )

    @property
    def written(self) -> int:
        """Tokens of the answer; while it is being written, all that are committed."""
        return sum(token is not None for token in self.tokens) if self.length is None else self.length

    @property
    def seconds(self) -> float:
        return self.now - self.began


def figures(progress: Progress) -> str:
    """One line of them."""
    parts = [f"step {progress.step}", f"{progress.written} of {len(progress.tokens)} tokens"]
    if progress.step:
        parts.append(f"{progress.written / progress.step:.1f} per pass")
    if progress.seconds > 0:
        parts.append(f"{progress.written / progress.seconds:.0f} tokens/s")
    if progress.first_text is not None:
        parts.append(f"first text {progress.first_text - progress.began:.2f} s")
    return " · ".join(parts)
