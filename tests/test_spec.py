"""The comparison file: the contract's own example, and one line for each thing that can be wrong with one."""

import pytest

from ftvp_core.errors import UserError
from ftvp_core.spec import Candidate, dump, parse

CONTRACT = """
name: banking intents
eval_set:  {path: test.csv, input: text, reference: category, id: null, group: null, gold: null, encoding: null, limit: 400, seed: 0}
train_set: {path: train.csv, input: text, reference: category}
knowledge: {path: docs/, chunk_tokens: 256, overlap: 32}
providers:
  acme: {base_url: "http://127.0.0.1:8000/v1", api_key_env: ACME_KEY, batch: false}
prices:
  acme/small: {input: 0.15, cached_input: 0.075, output: 0.60}
  machine_hour: 0.20
  gpu_hour: 2.50
candidates:
  - {name: zero,   model: acme/small, prompt: {system: "…", user: "{text}"}, sampling: {temperature: 0, max_tokens: 256, top_p: 1, seed: null, stop: null, stream: false}}
  - {name: few-8,  model: acme/small, prompt: {user: "{text}"}, shots: {k: 8, select: random}}
  - {name: near-8, model: acme/small, prompt: {user: "{text}"}, shots: {k: 8, select: nearest}}
  - {name: json,   model: acme/small, prompt: {user: "{text}"}, output_schema: {type: object}}
  - {name: rag,    model: acme/small, prompt: {user: "{context}\\n\\n{question}"}, retrieval: {top_k: 4, mode: dense, embedder: default, rerank: null, max_tokens: null, oracle: false}}
  - {name: lora,   model: local/demo, prompt: {user: "{text}"}, tune: {method: lora, rank: 16, alpha: 32, dropout: 0.05, target_modules: all-linear, learning_rate: 2.0e-4, batch_size: 4, max_length: 2048, epochs: 3, examples: 1000, seed: 0, device: auto, force: false, keep_leaked: false}}
  - {name: again,  model: local/demo, adapter: path/to/adapter, prompt: {user: "{text}"}}
  - {name: tuned,  model: "openai/ft:…", prompt: {user: "{text}"}}
  - {name: old,    recorded: answers.csv}
  - {name: floor,  floor: tfidf-svm}
graders: [exact_match]
sweeps:
  - {candidate: few-8, over: shots.k, values: [0, 1, 2, 4, 8, 16]}
run: {concurrency: 32, max_cost_usd: 5.00, repeats: 1, seed: 0, timeout_s: 60, cache: true}
decide: {requests_per_month: 100000, margin: 0.02, target: 0.80}
"""
SMALL = """
eval_set: {path: e.csv}
candidates:
  - {name: a, model: openai/m}
"""


def test_the_contracts_example_is_read_whole_and_methods_are_derived() -> None:
    spec = parse(CONTRACT, "c.yaml")
    assert {candidate.name: candidate.method for candidate in spec.candidates} == {
        "zero": "prompt", "few-8": "few-shot", "near-8": "few-shot", "json": "prompt", "rag": "rag", "lora": "fine-tuned",
        "again": "fine-tuned", "tuned": "fine-tuned", "old": "recorded", "floor": "floor",
    }  # fmt: skip
    price = spec.prices.of("acme/small")
    assert price is not None and [str(one) for one in (price.input, price.cached_input)] == ["0.15", "0.075"]
    assert str(spec.prices.machine_hour) == "0.2"


def test_retrieval_with_tuning_is_both() -> None:
    both = Candidate(name="x", model="local/m", adapter="a", retrieval={"top_k": 1})
    assert both.method == "fine-tuned+rag"
    none = Candidate(name="x", model="local/m", shots={"k": 0})
    assert none.method == "prompt"


def test_what_is_written_is_read_back_the_same() -> None:
    spec = parse(CONTRACT, "c.yaml")
    assert parse(dump(spec), "again") == spec


def test_a_sweep_is_one_candidate_at_each_value() -> None:
    arms = parse(CONTRACT, "c.yaml").arms()
    assert len(arms) == 10 + 6
    assert [arm.shots.k for arm in arms[10:] if arm.shots] == [0, 1, 2, 4, 8, 16]
    assert arms[10].name == "few-8 [shots.k=0]" and arms[10].method == "prompt"


def changed(old: str, new: str) -> str:
    assert old in CONTRACT
    return CONTRACT.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        (changed("chunk_tokens:", "chunk_token:"), "knowledge.chunk_token", "did you mean chunk_tokens"),
        (changed("concurrency: 32", "concurency: 32"), "run.concurency", "did you mean concurrency"),
        (changed("k: 8, select: random", "k: -1, select: random"), "candidates[1].shots.k", "-1"),
        (changed("select: nearest", "select: closest"), "candidates[2].shots.select", "'closest'"),
        (changed("top_p: 1", "top_p: high"), "candidates[0].sampling.top_p", "'high'"),
        (changed("name: few-8,", "name: zero,"), "candidates[1].name", "taken"),
        (changed("model: acme/small", "model: other/small"), "candidates[0].model", "providers"),
        (changed("model: acme/small", "model: small"), "candidates[0].model", "'small'"),
        (changed("floor: tfidf-svm", "floor: tfidf-svm, recorded: a.csv"), "candidates[9]", "exactly one"),
        (changed("model: local/demo, adapter", "model: acme/small, adapter"), "candidates[6]", "local"),
        (changed("candidate: few-8", "candidate: few"), "sweeps[0].candidate", "few-8"),
        (changed("over: shots.k", "over: shot.k"), "sweeps[0].over", "shot.k"),
        (changed("base_url: \"http://127.0.0.1:8000/v1\"", "base_url: localhost"), "providers.acme.base_url", "localhost"),
        *(
            (changed('"http://127.0.0.1:8000/v1"', f'"{url}"'), "providers.acme.base_url", said)
            for url, said in (
                ("http://host:99999/v1", "such as"), ("http:///v1", "such as"), ("http://[::1/v1", "such as"),
                ("http://a..b/v1", "such as"), ("http://host/v1 ", "such as"), ("http://host/v1?a=b", "such as"),
            )
        ),
        (changed("input: 0.15", "input: -1"), "prices.acme/small.input", "-1"),
        (SMALL.replace("eval_set: {path: e.csv}", ""), "eval_set", "missing"),
        (SMALL.replace("  - {name: a, model: openai/m}", "  []"), "candidates", "at least 1"),
        (SMALL.replace("model: openai/m", "floor: nearest"), "candidates[0].floor", "train_set"),
        (SMALL.replace("model: openai/m", "model: openai/m, retrieval: {}"), "candidates[0].retrieval", "knowledge"),
        (SMALL + "name: b\nname: c\n", "line 6", "twice"),
        ("eval_set: [unclosed", "line 1", "not YAML"),
        ('{"name": "half \\ud83d", "eval_set": {"path": "e.csv"}}', "half a character", "half '"),
        ('name: "half \\ud83d"', "half a character", "after"),
        ("just text", "c.yaml", "expected keys"),
        ("", "c.yaml", "nothing"),
    ],
)  # fmt: skip
def test_each_mistake_is_one_line_with_its_place(text: str, path: str, said: str) -> None:
    with pytest.raises(UserError) as raised:
        parse(text, "c.yaml")
    line = str(raised.value)
    assert line.startswith("c.yaml") and path in line and said in line
    assert "\n" not in line and len(line) < 400


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UserError, match="api_key_env") as raised:
        parse(changed("http://127.0.0.1", "http://me:hunter2@127.0.0.1"), "c.yaml")
    assert "hunter2" not in str(raised.value)


def taught(teacher: str, tune: str = "") -> str:
    """The contract's file, with a student of `teacher`; `lora` learns from `warm`, which answers by chance."""
    student = f"{{name: student, model: local/demo, tune: {{teacher: {teacher}{tune}}}}}"
    warm = "{name: warm, model: acme/small, sampling: {temperature: 0.7}}"
    seeded = "{name: seeded, model: acme/small, sampling: {temperature: 0.7, seed: 1}}"
    return changed("graders:", f"  - {student}\n  - {warm}\n  - {seeded}\ngraders:").replace(
        "examples: 1000", "teacher: student, examples: 1000"
    )


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        (taught("nobody"), "candidates[10].tune.teacher", "found 'nobody'; expected one of zero"),
        (taught("old"), "candidates[10].tune.teacher", "no answers but the eval set's"),
        (taught("floor"), "candidates[10].tune.teacher", "learned the training rows by heart"),
        (taught("student"), ".tune.teacher", "circle"),
        (taught("lora"), "candidates[5].tune.teacher", "lora learns from student learns from lora"),
        (taught("few-8", ", keep: agreement"), "candidates[10].tune.teacher", "temperature above 0"),
        (taught("seeded", ", keep: agreement"), "candidates[10].tune.teacher", "no sampling.seed"),
        (taught("warm", ", answers: 5"), "candidates[10].tune", "keep: agreement"),
        (taught("warm").replace("rank: 16", "keep: all").replace("teacher: student, ", ""), "candidates[5].tune", "name a teacher"),
    ],
)  # fmt: skip
def test_a_teacher_that_cannot_teach_is_one_line(text: str, path: str, said: str) -> None:
    with pytest.raises(UserError) as raised:
        parse(text, "c.yaml")
    line = str(raised.value)
    assert path in line and said in line and "\n" not in line


def test_a_student_can_be_swept_and_its_points_have_its_teacher() -> None:
    text = taught("warm", ", keep: agreement").replace(
        "candidate: few-8, over: shots.k", "candidate: student, over: tune.rank"
    )
    spec = parse(text.replace("[0, 1, 2", "[1, 2"), "c.yaml")
    assert parse(dump(spec), "again") == spec
    tunes = [arm.tune for arm in spec.arms() if arm.name.startswith("student [")]
    assert [(tune.teacher, tune.answers_a_row) for tune in tunes if tune] == [("warm", 3)] * 5


def test_a_file_of_another_encoding_is_said(tmp_path_factory: pytest.TempPathFactory) -> None:
    from ftvp_core.spec import load

    file = tmp_path_factory.mktemp("spec") / "c.yaml"
    file.write_bytes("name: 시험".encode("cp949"))
    with pytest.raises(UserError, match="UTF-8"):
        load(file)
