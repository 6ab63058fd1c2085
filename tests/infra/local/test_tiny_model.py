import hashlib
from pathlib import Path
from typing import Any

from gguf import GGUFReader

from slipway.local.tiny_model import CONTEXT_TOKENS, VERSION, WORDS, vocabulary, write_tiny_model

DIGEST = "2d6b398e7b42e69744e45ca387889979840d4283a7abc44d855ce2e97fe7b68a"


def test_it_is_small_and_the_same_bytes_every_time(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "deep" / "tiny.gguf")
    (tmp_path / "again.gguf").write_text("an older one")
    write_tiny_model(tmp_path / "again.gguf")
    made = (tmp_path / "deep" / "tiny.gguf").read_bytes()
    assert made == (tmp_path / "again.gguf").read_bytes()
    assert len(made) < 400_000
    # When this changes, VERSION must too.
    assert (VERSION, hashlib.sha256(made).hexdigest()) == (2, DIGEST)
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["again.gguf", "tiny.gguf"]


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "tiny.gguf")
    reader = GGUFReader(tmp_path / "tiny.gguf")

    def said(key: str) -> Any:
        field = reader.get_field(key)
        assert field is not None
        return field.contents()

    assert said("general.architecture") == "llama"
    assert "it babbles" in said("general.description")
    assert said("llama.context_length") == CONTEXT_TOKENS
    assert said("tokenizer.ggml.tokens") == [text for text, _, _, _ in vocabulary()]


def test_no_token_is_there_twice_and_every_byte_is_one() -> None:
    texts = [text for text, _, _, _ in vocabulary()]
    assert len(texts) == len(set(texts))
    assert {f"<0x{byte:02X}>" for byte in range(256)} < set(texts)
    assert {f"\u2581{word}" for word in WORDS} < set(texts)
