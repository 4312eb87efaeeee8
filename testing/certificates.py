"""Certificates that an authority of the tests' own signs, as files."""

from pathlib import Path

import trustme

from textdiffusion.tls import Identity


class Authority:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self._issued = 0
        self.ca_file = folder / "ca.pem"
        folder.mkdir(exist_ok=True)
        self._authority.cert_pem.write_to_path(self.ca_file)

    def issue(self, *names: str) -> Identity:
        """A certificate for these names or IP addresses, and its key."""
        self._issued += 1
        issued = self._authority.issue_cert(*names)
        cert_file, key_file = (self._folder / f"{self._issued}-{kind}.pem" for kind in ("cert", "key"))
        for number, certificate in enumerate(issued.cert_chain_pems):
            certificate.write_to_path(cert_file, append=number > 0)
        issued.private_key_pem.write_to_path(key_file)
        return Identity(cert_file, key_file)
