"""A checkpoint on disk or on the hub: where it is, what its files say, its tensors. None of its code is ever run."""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from textdiffusion.fingerprint import TOKENIZER_FILES
from worker.models.hub import HubError, fetch, fetch_headers

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
SMALL_FILES = ("*.json", "*.jinja")
_METADATA = "__metadata__"


class CheckpointError(Exception):
    """The checkpoint cannot be used; the message says what is wrong with which file."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as a file's header describes it; `dtype` is spelled as safetensors spells it, such as ``BF16``."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def bytes(self) -> int:
        bits = re.search(r"\d+", self.dtype)  # none in BOOL
        return torch.Size(self.shape).numel() * (int(bits[0]) if bits else 8) // 8


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder in Hugging Face layout; `source` is what the user called it: that folder, or a hub id.

    `revision` is the commit of one on the hub, and empty for a folder.
    """

    source: str
    folder: Path
    revision: str = ""
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
    def find(cls, source: str, wanted: Sequence[str] = SMALL_FILES) -> "Checkpoint":
        """Return the folder named `source`, or else what the hub has under that name, without its weights yet."""
        folder = Path(source).expanduser()
        if folder.is_dir():
            return cls(str(folder.resolve()), folder.resolve())
        if source.count("/") != 1 or source.startswith((".", "/", "~")):
            raise CheckpointError(f"{source}: there is no such folder")
        try:
            snapshot = fetch(source, list(wanted))
        except HubError as error:
            raise CheckpointError(str(error)) from error
        return cls(source, snapshot, snapshot.name)

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

    def fetch_weights(self) -> None:
        """Fetch from the hub the weights that are not here yet, with a progress bar."""
        names = self._weight_names()
        if not self.revision or self._missing(names) is None:
            return
        try:
            fetch(self.source, names, self.revision)
        except HubError as error:
            raise CheckpointError(str(error)) from error
        missing = self._missing(names)
        if missing is not None:
            raise CheckpointError(
                f"{self.source}: {missing} is missing here, and the hub has no such file or cannot be reached"
            )

    def weight_files(self) -> list[Path]:
        """Return the safetensors files, be it one or the shards that the index names."""
        names = self._weight_names()
        missing = self._missing(names)
        if missing is not None:
            raise CheckpointError(f"{self.source}: {missing} is missing")
        return [self.folder / name for name in names]

    def stored_tensors(self) -> Mapping[str, StoredTensor]:
        """Return what the headers of the weights say, from here or else from the hub.

        Raises `HubError` where the hub has to be asked and does not answer.
        """
        names = self._weight_names()
        if self.revision and self._missing(names) is not None:
            headers = fetch_headers(self.source, self.revision, names)
            return {name: tensor for header in headers for name, tensor in self._parsed(header)}
        return {name: tensor for file in self.weight_files() for name, tensor in self._read_header(file)}

    def tensors(self, device: torch.device, names: Collection[str]) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield the tensors of these published names, one at a time, on `device`."""
        for file in self.weight_files():
            yield from self._tensors_of(file, device, names)

    def _tensors_of(
        self, file: Path, device: torch.device, names: Collection[str]
    ) -> Iterator[tuple[str, torch.Tensor]]:
        try:
            with safe_open(file, framework="pt", device=str(device)) as tensors:
                for name in tensors.keys():  # noqa: SIM118 - not a dict
                    if name in names:
                        yield name, tensors.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise self._unreadable(file, error) from error

    def _read_header(self, file: Path) -> Iterator[tuple[str, StoredTensor]]:
        try:
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 - not a dict
                    tensor = tensors.get_slice(name)
                    yield name, StoredTensor(tuple(tensor.get_shape()), tensor.get_dtype())
        except (SafetensorError, OSError) as error:
            raise self._unreadable(file, error) from error

    def _parsed(self, header: Mapping[str, Any]) -> Iterator[tuple[str, StoredTensor]]:
        for name, entry in header.items():
            if name != _METADATA:
                try:
                    yield name, StoredTensor(tuple(map(int, entry["shape"])), str(entry["dtype"]))
                except (KeyError, TypeError, ValueError) as error:
                    raise HubError(f"{self.source}: the header of {name} cannot be understood") from error

    def _unreadable(self, file: Path, error: Exception) -> CheckpointError:
        if isinstance(error, OSError):
            return CheckpointError(f"{self.source}: {file.name} cannot be read: {error.strerror}")
        return CheckpointError(f"{self.source}: {file.name} is truncated or damaged")

    def _weight_names(self) -> list[str]:
        shards = self.read_json(INDEX).get("weight_map")
        if shards is None:
            return [SINGLE]
        if isinstance(shards, dict) and all(isinstance(name, str) for name in shards.values()):
            return sorted(set(shards.values()))
        raise CheckpointError(f"{self.source}: {INDEX} holds no weight_map")

    def _missing(self, names: Collection[str]) -> str | None:
        return next((name for name in names if not (self.folder / name).is_file()), None)
