"""The golden iLLaDA with a tokenizer, as a checkpoint that the whole stack can serve.

Its special tokens have the ids of the real one's; `</think>` is a few ordinary tokens. Its template refuses a system
message, as the published one does.
"""

import json
import shutil
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from testing.folders import ILLADA_GOLDEN

BEGIN, PAD, END, MASK = "<[begin▁of▁sentence]>", "<[PAD▁TOKEN]>", "<[end▁of▁sentence]>", "<[MASK▁TOKEN]>"
SPECIAL_TOKENS = (BEGIN, PAD, END, "<[SEP▁TOKEN]>", "<[CLS▁TOKEN]>", MASK)
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    f"{{{{ '{BEGIN}' + message['role'] + '\n' + message['content'] | trim + '{END}' }}}}"
    f"{{% endfor %}}{{{{ '{BEGIN}assistant\n' }}}}"
)


def write_illada(folder: Path, *, chat: bool = True) -> Path:
    """Write it into `folder`; without `chat` it is a base model, which has no template."""
    for name in ("config.json", "model.safetensors"):
        shutil.copy(ILLADA_GOLDEN / name, folder / name)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(text, special=True, normalized=False) for text in SPECIAL_TOKENS]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["the quick brown fox jumps over the lazy dog </think>"] * 20, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BEGIN, "eos_token": END}
    template = {"chat_template": CHAT_TEMPLATE} if chat else {}
    (folder / "tokenizer_config.json").write_text(json.dumps(config | template))
    return folder
