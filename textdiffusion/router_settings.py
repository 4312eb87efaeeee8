"""The settings of the router; see `textdiffusion.settings`."""

import json
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, SecretStr, model_validator

from textdiffusion.addresses import is_local, is_loopback, parse_address
from textdiffusion.chat_templates import read_chat_template
from textdiffusion.keys import parse_keys, read_keys, union
from textdiffusion.origins import parse_host_name, parse_origin
from textdiffusion.settings import Address, FilePath, Host, Section
from textdiffusion.tls import Identity, check_authority, check_identity

HostName = Annotated[str, AfterValidator(parse_host_name)]
Origin = Annotated[str, AfterValidator(parse_origin)]
# A setting that has a SecretStr in its type is no flag, is hidden wherever settings or mistakes in them are shown, and
# reaches another process through its environment.
ApiKeys = Annotated[dict[str, SecretStr], BeforeValidator(parse_keys)]


def _from_json(given: object) -> object:
    """Let a flag give a table, as JSON."""
    try:
        return json.loads(given) if isinstance(given, str) else given
    except ValueError as error:
        raise ValueError('has to be given as JSON: {"MODEL": "FILE"}') from error


ChatTemplates = Annotated[dict[str, FilePath], BeforeValidator(_from_json)]


class RouterSettings(Section):
    host: Host = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(3001, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    playground: bool = Field(True, description="serve a page at / on which to try the models")
    probe_port: int | None = Field(
        None, ge=0, le=65535, description="port for health alone, which load cannot slow; default: none"
    )
    workers: tuple[Address, ...] = Field(
        (), description="addresses of workers, unix:PATH or HOST:PORT; each address behind a DNS name is one"
    )
    workers_ca_file: FilePath | None = Field(
        None, description="certificates of the authority that signed the workers'; with it they are spoken to over TLS"
    )
    workers_cert_file: FilePath | None = Field(
        None, description="the router's own certificate, for workers that ask for one"
    )
    workers_key_file: FilePath | None = Field(None, description="its private key")
    workers_server_name: Host | None = Field(
        None, min_length=1, description="name in the workers' certificates; default: the host of their address"
    )
    allow_plaintext_workers: bool = Field(False, description="speak to workers on other machines without TLS")
    max_body_bytes: int = Field(2 * 1024 * 1024, ge=1024, description="largest request body that is read")
    max_running_requests: int | None = Field(
        None,
        ge=1,
        description="requests of one model that may be at its workers at once; default: what these run, and a quarter",
    )
    max_waiting_requests: int = Field(
        256, ge=0, description="requests of one model that may wait for that; more are refused"
    )
    queue_timeout_seconds: float = Field(
        30, gt=0, le=86400, description="longest wait; who would have to wait longer is refused at once"
    )
    request_timeout_seconds: float = Field(600, gt=0, le=86400, description="longest time that a request may take")
    keep_alive_seconds: float = Field(
        15, gt=0, le=86400, description="longest silence of a stream; then a comment tells proxies that it lives"
    )
    settle_seconds: float = Field(
        0,
        ge=0,
        le=600,
        description="time before that in which it says that it is not ready and still takes requests, "
        "so that load balancers notice",
    )
    drain_seconds: float = Field(30, gt=0, le=3600, description="time that running requests get when the router stops")
    api_keys: ApiKeys = Field({}, description="names and keys of those who may send requests")
    api_keys_file: FilePath | None = Field(
        None, description='TOML file of more of them: NAME = "KEY", or NAME = "sha256:DIGEST"'
    )
    allow_anonymous: bool = Field(False, description="serve other machines although no key is configured")
    allowed_origins: tuple[Origin, ...] = Field(
        (),
        description='origins, SCHEME://HOST:PORT, whose pages may use the server from within a browser; "*": all; '
        '"null": pages in files; default: none',
    )
    allowed_hosts: tuple[HostName, ...] = Field(
        (),
        description='names, beside localhost, by which this machine may be asked where there are no keys; "*": any',
    )
    requests_per_minute: int | None = Field(
        None, ge=1, description="requests that a key or, where there are none, an address may send in a minute"
    )
    tokens_per_minute: int | None = Field(
        None, ge=1, description="tokens, of prompts and replies together, that it may ask for in a minute"
    )
    chat_templates: ChatTemplates = Field(
        {}, description="files of chat templates, by the id of the model whose own they take the place of, as JSON"
    )
    _keys_in_file: dict[str, SecretStr] = PrivateAttr(default_factory=dict)
    _templates_in_files: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def templates(self) -> dict[str, str]:
        """The chat templates in `chat_templates`, by the ids of their models."""
        return self._templates_in_files

    @property
    def digests(self) -> dict[str, SecretStr]:
        """The keys from everywhere, by their names; see `textdiffusion.keys`."""
        return union(self.api_keys, self._keys_in_file)

    @property
    def workers_identity(self) -> Identity | None:
        """What the router shows to workers that ask who it is."""
        if self.workers_cert_file and self.workers_key_file:
            return Identity(self.workers_cert_file, self.workers_key_file)
        return None

    @model_validator(mode="after")
    def _templates_are_there(self) -> "RouterSettings":
        self._templates_in_files = {model: read_chat_template(path) for model, path in self.chat_templates.items()}
        return self

    @model_validator(mode="after")
    def _keys_are_there(self) -> "RouterSettings":
        if self.api_keys_file:
            self._keys_in_file = read_keys(self.api_keys_file)
        if not (self.digests or self.allow_anonymous or is_loopback(self.host)):
            raise ValueError(
                f"other machines reach {self.host}, and no API key is configured: set TDI_ROUTER__API_KEYS or "
                "api_keys_file, or allow_anonymous to serve everyone"
            )
        return self

    @model_validator(mode="after")
    def _tls_files_fit(self) -> "RouterSettings":
        if (self.workers_cert_file is None) != (self.workers_key_file is None):
            raise ValueError("workers_cert_file and workers_key_file go together: set both or neither")
        if self.workers_ca_file is None:
            needless = next((name for name in ("workers_cert_file", "workers_server_name") if getattr(self, name)), "")
            if needless:
                raise ValueError(f"{needless} is of no use without TLS, which workers_ca_file turns on")
            return self
        check_authority(self.workers_ca_file)
        if self.workers_identity:
            check_identity(self.workers_identity)
        return self

    @model_validator(mode="after")
    def _workers_elsewhere_are_spoken_to_in_private(self) -> "RouterSettings":
        if self.workers_ca_file or self.allow_plaintext_workers:
            return self
        for address in map(parse_address, self.workers):
            if not is_local(address):
                raise ValueError(
                    f"workers: {address} is another machine, and anyone on the way could read and change what is sent: "
                    "set workers_ca_file to speak TLS, or allow_plaintext_workers if the network is to be trusted"
                )
        return self
