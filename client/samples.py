"""Sample conversations, which show what the bundled model knows."""

from typing import Final

from client.answers import Answers
from client.printing import show
from client.question import conversation, message, opening

# Each is a system message, or none, and what the user says turn after turn.
SAMPLE_CONVERSATIONS: Final[tuple[tuple[str | None, tuple[str, ...]], ...]] = (
    ("Only respond with ORANGE", ("Hello", "What is the capital of France?", "Count to 3")),
    (None, ("What are you?", "Spell river", "Count to 7")),
    (None, ("My name is Ada.", "What is 12 + 7?", "What is my name?")),
)


def play_samples(answers: Answers) -> None:
    for number, (system, turns) in enumerate(SAMPLE_CONVERSATIONS):
        messages = opening(system)
        show("\n" if number else "")
        show(f"system: {system}\n" if system else "")
        for turn in turns:
            show(f"user: {turn}\n")
            messages.append(message("user", turn))
            messages.append(message("assistant", answers.to(conversation(messages), "assistant: ")))
