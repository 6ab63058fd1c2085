"""Recorded traffic: how it is read, refused and scaled."""

from pathlib import Path

import pytest

from slipway_router.bench.traffic import Arrival, TraceError, read_trace, scaled

HEAD = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
ROWS = "2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n2023-11-16 18:15:51.2224670,879,55\n"


def trace(folder: Path, text: str) -> Path:
    path = folder / "trace.csv"
    path.write_text(text)
    return path


def test_arrivals_count_from_the_first(tmp_path: Path) -> None:
    read = read_trace(trace(tmp_path, HEAD + ROWS), 500)
    assert [(r.prompt_tokens, r.answer_tokens) for r in read] == [(374, 44), (396, 109), (879, 55)]
    assert [r.at for r in read] == pytest.approx([0, 4.314579, 4.541877], abs=1e-5)


def test_no_more_than_asked_for_are_read(tmp_path: Path) -> None:
    assert len(read_trace(trace(tmp_path, HEAD + ROWS + "no,line,atall\n"), 2)) == 2


def test_lines_out_of_order_are_sorted(tmp_path: Path) -> None:
    first, second, third = ROWS.splitlines(keepends=True)
    read = read_trace(trace(tmp_path, HEAD + third + first + second), 500)
    assert [r.prompt_tokens for r in read] == [374, 396, 879]
    assert read[0].at == 0


LINE = '{"timestamp": 3000, "input_length": 600, "output_length": 9, "hash_ids": [0, 7]}\n'


def test_mooncakes_lines_tell_which_prompts_begin_alike(tmp_path: Path) -> None:
    lines = LINE + "\n" + LINE.replace("3000", "4500").replace(', "hash_ids": [0, 7]', "") + "no line at all\n"
    read = read_trace(trace(tmp_path, lines), 2)
    assert read == [Arrival(0.0, 600, 9, (0, 7)), Arrival(1.5, 600, 9)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LINE + "[]\n", "line 2 is no JSON object"),
        (LINE + "{\n", "line 2 is no JSON object"),
        (LINE.replace("600", '"x"'), "line 1: input_length is 'x'; give a number from 0 on"),
        (LINE.replace("9", "-1"), "line 1: output_length is -1"),
        (LINE.replace('"timestamp"', '"time"'), "line 1: timestamp is None"),
        (LINE.replace("7", "0.5"), "line 1: hash_ids is '[0, 0.5]'; give a list of whole numbers"),
        ("", "no column TIMESTAMP, ContextTokens, GeneratedTokens"),
        ("TIMESTAMP,ContextTokens\n", "no column GeneratedTokens"),
        (HEAD, "has no requests"),
        (HEAD + ROWS + "yesterday,1,2\n", "line 5: TIMESTAMP is 'yesterday'"),
        (HEAD + "2023-11-16 18:15:46,x,2\n", "line 2: ContextTokens is 'x'; give a whole number"),
        (HEAD + "2023-11-16 18:15:46,1\n", "line 2: GeneratedTokens is ''"),
    ],
)
def test_what_is_no_trace_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(TraceError) as refused:
        read_trace(trace(tmp_path, text), 500)
    assert said in str(refused.value)


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, said in (
        (tmp_path / "none.csv", "no such file"),
        (tmp_path, "is a directory"),
        (binary, "is neither CSV nor JSON lines"),
    ):
        with pytest.raises(TraceError, match=said):
            read_trace(path, 500)


def test_scaling_keeps_at_least_one_token() -> None:
    sent = scaled([Arrival(0, 1000, 3), Arrival(50, 20, 200)], lengths=0.05, speedup=10)
    assert sent == [Arrival(0, 50, 1, block_tokens=26), Arrival(5, 1, 10, block_tokens=26)]
