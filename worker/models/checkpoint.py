"""A checkpoint on disk: where it is, what its files say, its tensors. No code of a checkpoint is ever run."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError
from safetensors import SafetensorError, safe_open

from textdiffusion.fingerprint import TOKENIZER_FILES

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
WANTED = ("*.json", "*.jinja", "*.safetensors")


class CheckpointError(Exception):
    """The checkpoint cannot be used; the message says what is wrong with which file."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder in Hugging Face layout; `source` is what the user called it: that folder, or a hub id."""

    source: str
    folder: Path
    tokenizer_elsewhere: "Checkpoint | None" = None

    @property
    def tokenizer(self) -> "Checkpoint":
        """Where the tokenizer's files are."""
        return self.tokenizer_elsewhere or self

    def with_tokenizer(self, source: str | None) -> "Checkpoint":
        """The same checkpoint with the tokenizer that another one has. Raises `CheckpointError`."""
        if source is None:
            return self
        try:
            elsewhere = Checkpoint.find(source, TOKENIZER_FILES)
            elsewhere.read_json("tokenizer.json", required=True)
        except CheckpointError as error:
            raise CheckpointError(f"tokenizer: {error}") from error
        return replace(self, tokenizer_elsewhere=elsewhere)

    @classmethod
    def find(cls, source: str, wanted: Sequence[str] = WANTED) -> "Checkpoint":
        """The folder named `source`, or else what the hub has under that name, fetched with a progress bar."""
        folder = Path(source).expanduser()
        if folder.is_dir():
            return cls(str(folder.resolve()), folder.resolve())
        if source.count("/") != 1 or source.startswith((".", "/", "~")):
            raise CheckpointError(f"{source}: there is no such folder")
        try:
            return cls(source, Path(snapshot_download(source, allow_patterns=list(wanted))))
        except (RepositoryNotFoundError, HFValidationError) as error:
            raise CheckpointError(f"{source}: neither a folder here nor a model on the hub") from error
        except LocalEntryNotFoundError as error:
            raise CheckpointError(
                f"{source}: there is no such folder, and the hub cannot be reached to fetch a model of that name"
            ) from error
        except Exception as error:  # a download can break in as many ways as there are layers below it
            raise CheckpointError(f"{source}: cannot be fetched from the hub: {error}") from error

    def read_json(self, name: str, *, required: bool = False) -> dict[str, Any]:
        """The object in a file of the folder; empty if there is no such file and it is not required."""
        path = self.folder / name
        if not path.is_file():
            if required:
                raise CheckpointError(f"{self.source}: {name} is missing")
            return {}
        try:
            content = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self.source}: {name} is not readable JSON") from error
        if not isinstance(content, dict):
            raise CheckpointError(f"{self.source}: {name} does not hold a JSON object")
        return content

    def weight_files(self) -> list[Path]:
        """The safetensors files, be it one or the shards that the index names."""
        shards = self.read_json(INDEX).get("weight_map")
        if shards is None:
            names = [SINGLE]
        elif isinstance(shards, dict) and all(isinstance(name, str) for name in shards.values()):
            names = sorted(set(shards.values()))
        else:
            raise CheckpointError(f"{self.source}: {INDEX} holds no weight_map")
        for name in names:
            if not (self.folder / name).is_file():
                raise CheckpointError(f"{self.source}: {name} is missing")
        return [self.folder / name for name in names]

    def tensors(self, device: torch.device) -> Iterator[tuple[str, torch.Tensor]]:
        """Every tensor under its published name, one at a time, on `device`."""
        for file in self.weight_files():
            yield from self._tensors_of(file, device)

    def _tensors_of(self, file: Path, device: torch.device) -> Iterator[tuple[str, torch.Tensor]]:
        try:
            with safe_open(file, framework="pt", device=str(device)) as tensors:
                for name in tensors.keys():  # noqa: SIM118 - not a dict
                    yield name, tensors.get_tensor(name)
        except SafetensorError as error:
            raise CheckpointError(f"{self.source}: {file.name} is truncated or damaged") from error
        except OSError as error:
            raise CheckpointError(f"{self.source}: {file.name} cannot be read: {error.strerror}") from error

    def token_id(self, token: str) -> int | None:
        """The id of an added token of the tokenizer, such as ``<|eot_id|>``."""
        added = self.tokenizer.read_json("tokenizer.json").get("added_tokens")
        entries = added if isinstance(added, list) else []
        ids = [entry.get("id") for entry in entries if isinstance(entry, dict) and entry.get("content") == token]
        return next((number for number in ids if isinstance(number, int)), None)
