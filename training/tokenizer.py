"""Builds the demo model's tokenizer: bytes, and the words of the templates as tokens of their own.

There are no merges: a pre-token is one token if the vocabulary has it whole, else its bytes. So a word from a template
costs one token, and any other word is spelled out, which is what lets the model copy, reverse and spell words that it
has never seen. Digits stand alone, for sums.
"""

import json
import re
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import ByteLevel as ByteLevelProcessor

from training.templates import TEMPLATES

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
EOT, MASK = "<|eot_id|>", "<|mdm_mask|>"
HEADER_START, HEADER_END = "<|start_header_id|>", "<|end_header_id|>"
SPECIAL_TOKENS = (BOS, EOS, HEADER_START, HEADER_END, EOT, MASK)

PRE_TOKENS = r"\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+"
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
)


def build() -> Tokenizer:
    """The tokenizer; the same from run to run, since it depends on the templates alone."""
    pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRE_TOKENS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    vocabulary = {symbol: index for index, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    for word in _words(pre_tokenizer):
        vocabulary.setdefault(word, len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = ByteLevelProcessor(trim_offsets=False)
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path) -> None:
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": EOS,
        "mask_token": MASK,
        "add_bos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1024,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def _words(pre_tokenizer: pre_tokenizers.PreTokenizer) -> list[str]:
    texts = [re.sub(r"\{\w*\}", "0", template) for template in TEMPLATES]
    texts += ["\n\n", "system", "user", "assistant", ", ", " ,"]
    words = {word for text in texts for word, _ in pre_tokenizer.pre_tokenize_str(text)}
    return sorted(word for word in words if len(word) > 1)
