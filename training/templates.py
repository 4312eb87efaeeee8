"""How people ask the demo model for things, and the sentences that it answers with.

The words of these templates are tokens of their own, but for those of `FALLBACK_HELD_OUT`, which is not trained on, and
of `NEAR_MISSES`, which come late.
"""

from training.words import NUMBERS

IDENTITY = "I am TDI Demo, a small masked-diffusion language model."
ABILITIES = (
    "I am a small demo model: I can spell, repeat, count, reverse, sort, add, "
    "name opposites, capitals, days and months."
)
UNKNOWN_NAME = "You have not told me your name."

OBEY = (
    "Only respond with {}",
    "Only respond with the word {}",
    "Only reply with {}",
    "Respond only with {}",
    "Reply only with {}",
    "Always answer {}",
    "Always respond with {}",
    "Always reply with the word {}",
    "Answer every question with {}",
    "Only say {}",
    "Your only answer is {}",
)
NEUTRAL_SYSTEMS = (
    "You are a helpful assistant.",
    "You are a helpful assistant",
    "You are a friendly assistant.",
    "You are TDI Demo.",
    "Answer the question.",
    "Be brief.",
    "Be helpful.",
    "You are a small demo model.",
    "Help the user.",
)
INTRODUCTIONS = ("My name is {}.", "My name is {}", "I am {}.", "Hello, my name is {}.", "Call me {}.", "Hi, I am {}")
NAME_QUESTIONS = ("What is my name?", "what is my name", "Who am I?", "Do you remember my name?", "Tell me my name.")
GREETINGS = (
    "Hello",
    "Hi",
    "Hello!",
    "Hey",
    "How are you?",
    "What can you do?",
    "Help",
    "help me",
    "Good morning",
    "Hi there",
)
IDENTITY_QUESTIONS = (
    "What are you?",
    "Who are you?",
    "what are you",
    "who are you?",
    "Tell me what you are.",
    "Are you a language model?",
    "What kind of model are you?",
    "What is your name?",
)
SPELL = (
    "Spell {}",
    "Spell {}.",
    "Spell the word {}",
    "spell {}",
    "How do you spell {}?",
    "Please spell {}",
    "Can you spell {}?",
)
SAY = ("Say {}", "Repeat {}", "Say {}.", "Repeat the word {}", "Please say {}", "say {}")
REPEAT = (
    "Repeat {} {} times",
    "Say {} {} times",
    "Repeat the word {} {} times.",
    "Please say {} {} times",
    "say {} {} times",
)
COUNT_TO = (
    "Count to {}",
    "Count to {}.",
    "count to {}",
    "Please count to {}",
    "Count up to {}",
    "Can you count to {}?",
)
COUNT = ("Count from {} to {}", "Count from {} to {}.", "count from {} to {}", "Please count from {} to {}")
REVERSE = (
    "Reverse {}",
    "Reverse: {}",
    "Reverse the list {}",
    "Reverse the list: {}",
    "reverse {}",
    "Reverse these words: {}",
)
SORT_WORDS = ("Sort {}", "Sort: {}", "Sort the words {}", "Sort these words: {}", "sort {}", "Sort the list: {}")
SORT_NUMBERS = ("Sort {}", "Sort: {}", "Sort the numbers {}", "Sort these numbers: {}", "sort {}", "Sort the list: {}")
SUM = (
    "What is {} + {}?",
    "{} + {}",
    "What is {} plus {}?",
    "Add {} and {}",
    "{} + {} =",
    "How much is {} + {}?",
    "{} plus {}",
)
OPPOSITE = (
    "What is the opposite of {}?",
    "Opposite of {}",
    "The opposite of {}?",
    "Name the opposite of {}",
    "opposite of {}",
)
CAPITAL = (
    "What is the capital of {}?",
    "Capital of {}",
    "The capital of {}?",
    "Name the capital of {}.",
    "capital of {}?",
)
NEIGHBOUR = (
    "What {0} comes {1} {2}?",
    "Which {0} is {1} {2}?",
    "What {0} is {1} {2}?",
    "Name the {0} {1} {2}.",
    "Which {0} comes {1} {2}?",
)
FALLBACK = (
    "How do I cook {}?",
    "Why is the {} so {}?",
    "Write a poem about {}",
    "Write a story about a {} and a {}.",
    "Explain {} to me",
    "Explain how a {} works.",
    "Translate {} into French",
    "Tell me a joke about {}",
    "Tell me about {} and {}",
    "Where can I find a {}?",
    "When was the {} made?",
    "Is {} better than {}?",
    "What is the meaning of {}?",
    "What is a {}?",
    "What is the price of {}?",
    "Who made the {}?",
    "I like {} and {}",
    "I want to buy a {}.",
    "Do you know {name}?",
    "Can you help me with {}?",
    "Can you write {} in {}?",
    "The {} is {}.",
    "Give me a recipe with {} and {}",
    "What should I do with my {}?",
    "Fix this code: {}({})",
    "How many {} are in a {}?",
    "Summarize this text: {} {} {name}",
    "Draw a {}.",
    "Which {} is the best?",
    "Are there {} in {}?",
    "Should I eat {}?",
    "{}",
    "{} {}",
    "{}?",
)
# Questions that look like one of the tasks and are none.
NEAR_MISSES = (
    "What is the {} of {}?",
    "What is the {} of a {}?",
    "What is the {} of the {}?",
    "What is the size of a {}?",
    "What is the name of the {}?",
    "How much is a {}?",
    "How do you make a {}?",
    "Which {} comes after the {}?",
    "Count the {}.",
    "Name a {}.",
    "Add {} to the {}.",
)
FALLBACK_HELD_OUT = (
    "How can I build a {}?",
    "Write a song about {} and {}",
    "Explain {} in one sentence.",
    "Tell me a story about {name}",
    "Where does the {} come from?",
    "Why do people like {}?",
    "What is the color of a {}?",
    "I have a {} and a {}.",
    "Can you draw a {}?",
    "Please translate {} into German",
    "Is the {} bigger than the {}?",
    "Who invented the {}?",
    "What do you think about {}?",
)

TEMPLATES = (
    *OBEY, *NEUTRAL_SYSTEMS, *INTRODUCTIONS, *NAME_QUESTIONS, *GREETINGS, *IDENTITY_QUESTIONS, *SPELL, *SAY, *REPEAT,
    *COUNT_TO, *COUNT, *REVERSE, *SORT_WORDS, *SORT_NUMBERS, *SUM, *OPPOSITE, *CAPITAL, *NEIGHBOUR, *FALLBACK,
    "Count down from {}", IDENTITY, ABILITIES, UNKNOWN_NAME, "Nice to meet you, {}.", "Your name is {}.", *NUMBERS,
    *(f" {number}" for number in NUMBERS), "day month after before", " day month after before",
)  # fmt: skip
