"""The keys of a cluster that lives for one test session: an authority, the API server, its proxy, the service accounts."""

import subprocess
from pathlib import Path

_SERVER_NAMES = "IP:127.0.0.1,IP:10.96.0.1,DNS:localhost,DNS:kubernetes.default.svc"


def make(folder: Path) -> None:
    """Write keys and certificates, good for a day. Elliptic curves, because their keys are made in no time."""
    folder.mkdir(mode=0o700)
    _key(folder / "ca.key")
    own = ("-subj", "/CN=test-ca", "-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature")
    _openssl("req", "-x509", "-new", "-key", f"{folder}/ca.key", "-days", "1", "-out", f"{folder}/ca.crt", *own)
    _signed(folder, "server", "kube-apiserver", f"extendedKeyUsage=serverAuth\nsubjectAltName={_SERVER_NAMES}")
    _signed(folder, "front-proxy", "front-proxy", "extendedKeyUsage=clientAuth")
    _key(folder / "accounts.key")
    _openssl("ec", "-in", f"{folder}/accounts.key", "-pubout", "-out", f"{folder}/accounts.pub")


def _signed(folder: Path, file: str, name: str, extensions: str) -> None:
    _key(folder / f"{file}.key")
    request, more = folder / f"{file}.csr", folder / f"{file}.ext"
    more.write_text(f"keyUsage=critical,digitalSignature\n{extensions}\n")
    _openssl("req", "-new", "-key", f"{folder}/{file}.key", "-subj", f"/CN={name}", "-out", str(request))
    authority = ("-CA", f"{folder}/ca.crt", "-CAkey", f"{folder}/ca.key", "-CAcreateserial", "-extfile", str(more))
    _openssl("x509", "-req", "-in", str(request), *authority, "-days", "1", "-out", f"{folder}/{file}.crt")


def _key(file: Path) -> None:
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(file))


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=30)
