"""A language model of under a megabyte, made on the spot: llama's architecture, seeded random weights, a working tokenizer.

It babbles. It is there so that a stack comes up with nothing downloaded, and so that everything around a model can be
tried: streaming, queues, context limits, usage figures. Its answers are words in random order.
"""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import gguf
    import numpy as np
    from numpy.typing import NDArray

VERSION = 2
"""Raised with every change that changes the file's bytes."""
SEED = 20250301
EMBEDDING = 64
LAYERS = 2
HEADS = 4
FEED_FORWARD = 128
CONTEXT_TOKENS = 32768

_TEXT = (
    "the a of and to in on at by with from over under before after when where while then there "
    "slipway hull keel mast sail rope anchor harbour tide wind wave bay coast light boat ship crew captain deck rudder "
    "compass chart north south east west river bridge stone timber iron copper canvas lantern gull heron cod "
    "is was goes comes holds turns waits carries follows builds launches drifts sings rests"
)
WORDS = _TEXT.split()
_BEGIN, _STOP_TOKEN = "<|assistant|>", "</s>"
CALL = "<tool_call>"
"""The token before a tool's call. The model never says it by itself: push it by `logit_bias`."""
CONTROL = ("<|system|>", "<|user|>", _BEGIN, CALL, "</tool_call>")
# Tools as in Hermes' format: where a template has none, llama.cpp leaves those of a request out without a word.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% if tools %}<|system|>{{ tools | tojson }}</s>{% endif %}"
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] or '' }}"
    "{% for call in message['tool_calls'] or [] %}<tool_call>"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}</tool_call>'
    "{% endfor %}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

# Token types of the GGUF format.
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6
# About what is added to a token's logit, so that whole words are said: random bytes would not even be valid UTF-8.
_NEVER, _WORD, _MARK, _END = -30.0, 0.0, -0.5, 1.0


def write_tiny_model(path: Path) -> None:
    """Write the model as a GGUF file. The same version gives the same bytes; a file that is there is replaced atomically.

    Raises:
        ModuleNotFoundError: `gguf` or `numpy` is not installed; both come with `slipway[local]`.
        OSError: The file cannot be written.
    """
    import gguf

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    try:
        writer = gguf.GGUFWriter(temporary, "llama")
        _describe(writer)
        for name, tensor in _tensors():
            writer.add_tensor(name, tensor)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def vocabulary() -> list[tuple[str, float, int, float]]:
    """The tokens: text, score, type, and how much more often than a word it is said (as a difference of logits).

    SentencePiece merges neighbours by the highest score, so every beginning of a word is a token too: that makes
    each word of `WORDS` one token. All else falls back to one token per byte.
    """
    tokens: list[tuple[str, float, int, float]] = [
        ("<unk>", 0.0, _UNKNOWN, _NEVER),
        ("<s>", 0.0, _CONTROL, _NEVER),
        (_STOP_TOKEN, 0.0, _CONTROL, _END),
        *((f"<0x{byte:02X}>", 0.0, _BYTE, _NEVER) for byte in range(256)),
        *((text, 0.0, _CONTROL, _NEVER) for text in CONTROL),
    ]
    whole = {f"\u2581{word}" for word in WORDS}
    pieces = {word[:end]: None for word in sorted(whole) for end in range(1, len(word) + 1)}
    letters = {letter: None for piece in pieces for letter in piece}
    tokens += [(text, float(len(text)), _NORMAL, _WORD if text in whole else _NEVER) for text in {**letters, **pieces}]
    tokens += [(text, 0.0, _NORMAL, _MARK) for text in (".", ",")]
    return tokens


def _describe(writer: "gguf.GGUFWriter") -> None:
    tokens = vocabulary()
    writer.add_name("slipway tiny")
    writer.add_description(f"Version {VERSION}. Random weights: it babbles.")
    writer.add_context_length(CONTEXT_TOKENS)
    writer.add_embedding_length(EMBEDDING)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(EMBEDDING // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text for text, _, _, _ in tokens])
    writer.add_token_scores([score for _, score, _, _ in tokens])
    writer.add_token_types([kind for _, _, kind, _ in tokens])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(True)
    writer.add_chat_template(CHAT_TEMPLATE)


def _tensors() -> "list[tuple[str, NDArray[np.floating]]]":
    import numpy as np

    # RandomState's stream is frozen for good, and uniform numbers need no libm: the same bytes on every machine.
    random = np.random.RandomState(SEED)

    def matrix(rows: int, columns: int, spread: float) -> "NDArray[np.floating]":
        return ((random.random_sample((rows, columns)) * 2 - 1) * spread).astype(np.float16)

    def residual(columns: int, spread: float) -> "NDArray[np.floating]":
        # The first two components of the residual stream are kept as the embedding has them.
        weights = matrix(EMBEDDING, columns, spread)
        weights[:2] = 0
        return weights

    tokens = [text for text, _, _, _ in vocabulary()]
    biases = [bias for _, _, _, bias in vocabulary()]
    ones = np.ones(EMBEDDING, dtype=np.float32)
    embedding, output = matrix(len(tokens), EMBEDDING, 1.0), matrix(len(tokens), EMBEDDING, 0.25)
    # The first component is the same for every token, so the output layer can favour some by it. After normalisation it
    # is about 4 / rms, with rms about sqrt((16 + 63 / 3) / 64) and what the layers add.
    embedding[:, 0] = 4
    output[:, 0] = np.array(biases) / 4
    # The second one says that an answer begins, which must not be its end as well.
    embedding[:, 1] = output[:, 1] = 0
    embedding[tokens.index(_BEGIN), 1] = 8
    output[tokens.index(_STOP_TOKEN), 1] = -4
    found: list[tuple[str, NDArray[np.floating]]] = [("token_embd.weight", embedding)]
    for i in range(LAYERS):
        found += [
            (f"blk.{i}.attn_norm.weight", ones),
            *((f"blk.{i}.attn_{part}.weight", matrix(EMBEDDING, EMBEDDING, 0.2)) for part in ("q", "k", "v")),
            (f"blk.{i}.attn_output.weight", residual(EMBEDDING, 0.2)),
            (f"blk.{i}.ffn_norm.weight", ones),
            (f"blk.{i}.ffn_gate.weight", matrix(FEED_FORWARD, EMBEDDING, 0.2)),
            (f"blk.{i}.ffn_up.weight", matrix(FEED_FORWARD, EMBEDDING, 0.2)),
            (f"blk.{i}.ffn_down.weight", residual(FEED_FORWARD, 0.1)),
        ]
    return [*found, ("output_norm.weight", ones), ("output.weight", output)]
