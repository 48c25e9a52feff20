"""The loop: closed forms, reference loops, resuming."""

import dataclasses
import json
import shutil

import pytest
import torch
from tiny_learner import TinyConfig, TinyLearner, batches, exported, save_pretrained
from torch import nn

from worldjepa.train.config import FitConfig
from worldjepa.train.fit import fit
from worldjepa.train.log import read_metrics

CONFIG = FitConfig(steps=30, warmup=5, lr=1e-2, log_every=4, save_every=10, monitor_every=8, average=0.9)


def run(folder, config=CONFIG, learner=None, **options):
    learner = learner or TinyLearner()
    result = fit(
        learner,
        options.pop("batch", batches()),
        config,
        folder,
        save_pretrained=save_pretrained,
        progress=False,
        **options,
    )
    return learner, result


def stop_after(number, batch=None):
    """A batch function that breaks at batch ``number``."""
    batch = batch or batches()

    def broken(step, rank, world):
        if step == number:
            raise KeyboardInterrupt
        return batch(step, rank, world)

    return broken


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_equals_a_loop_written_by_hand(tmp_path):
    config = dataclasses.replace(CONFIG, average=0.0, steps=12, warmup=3, grad_clip=0.5, weight_decay=0.1)
    trained, _ = run(tmp_path, config)

    learner = TinyLearner()
    torch.manual_seed(config.seed)
    matrices = [p for p in learner.parameters() if p.requires_grad and p.ndim == 2]
    vectors = [p for p in learner.parameters() if p.requires_grad and p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, fused=True)
    for step in range(12):
        for group in optimizer.param_groups:
            cosine = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * step / 12, dtype=torch.float64)).item())
            group["lr"] = 1e-2 * min(1.0, (step + 1) / 3) * cosine
        learner(batches()(step, 0, 1))["loss"].backward()
        nn.utils.clip_grad_norm_(learner.parameters(), 0.5)
        optimizer.step()
        optimizer.zero_grad()
        learner.update_target(step)
    for name, value in learner.state_dict().items():
        torch.testing.assert_close(trained.state_dict()[name], value, rtol=0, atol=1e-7)


def test_resumed_run_is_bit_identical(tmp_path):
    whole, _ = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", batch=stop_after(17))
    resumed, result = run(tmp_path / "cut", learner=TinyLearner(seed=5), resume=True)
    assert same(whole.state_dict(), resumed.state_dict())
    assert same(exported(tmp_path / "whole/checkpoints/last"), exported(result.checkpoint))
    without_time = [
        [{k: v for k, v in row.items() if k != "time_s"} for row in read_metrics(tmp_path / name)]
        for name in ("whole", "cut")
    ]
    assert without_time[0] == without_time[1]


def test_evaluation_does_not_change_the_training(tmp_path):
    plain, _ = run(tmp_path / "plain")
    config = dataclasses.replace(CONFIG, evaluate_every=3, monitor_every=2, save_every=7)

    def evaluate(learner, step):
        assert not learner.training
        return {"valid/loss": torch.rand(()).item() + float(step)}

    evaluated, result = run(tmp_path / "evaluated", config, evaluate=evaluate)
    assert same(plain.state_dict(), evaluated.state_dict())
    assert 30 <= result.metrics["valid/loss"] < 31
    assert evaluated.training


def test_export_is_the_average_and_training_state_is_raw(tmp_path):
    history = []

    def spy(number, rank, world):
        history.append(learner.head.weight.detach().clone())
        return batches()(number, rank, world)

    learner = TinyLearner()
    config = dataclasses.replace(CONFIG, monitor_every=0)
    _, result = run(tmp_path, config, learner, batch=spy)
    average = history[0]
    for step, weight in enumerate([*history[1:], learner.head.weight.detach()], start=1):
        decay = min(0.9, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weight
    got = exported(result.checkpoint)
    torch.testing.assert_close(got["head.weight"], average)
    assert not torch.allclose(got["head.weight"], learner.head.weight)
    assert got["count"] == 30, "integer buffers are copied"
    assert 0 < got["seen"] < 15, "floating-point buffers are averaged"


def test_accumulated_batches_equal_one_large_batch(tmp_path):
    no_dropout = TinyConfig(dropout=0.0)
    config = dataclasses.replace(CONFIG, average=0.0)

    def halves(number, rank, world):
        whole = batches()(number // 2, rank, world)
        whole["valid"] = torch.ones_like(whole["valid"])
        return whole[:8] if number % 2 == 0 else whole[8:]

    def large(number, rank, world):
        return torch.cat([halves(2 * number, rank, world), halves(2 * number + 1, rank, world)])

    one, _ = run(tmp_path / "one", config, TinyLearner(no_dropout), batch=large)
    two, _ = run(tmp_path / "two", dataclasses.replace(config, accumulate=2), TinyLearner(no_dropout), batch=halves)
    torch.testing.assert_close(one.head.weight, two.head.weight, rtol=1e-4, atol=1e-5)


def test_time_budget_ends_the_run_and_the_schedule(tmp_path):
    config = dataclasses.replace(CONFIG, steps=None, max_seconds=0.5, log_every=1, monitor_every=0, warmup=0)
    _, result = run(tmp_path, config)
    rows = read_metrics(tmp_path)
    assert 0.5 <= result.seconds < 1.5
    assert result.steps == rows[-1]["step"]
    middle = min(rows, key=lambda row: abs(row["time_s"] - 0.25))
    assert middle["lr"] == pytest.approx(0.5 * config.lr, rel=0.25)
    assert rows[-1]["lr"] < 0.05 * config.lr


def test_bf16_computes_in_bfloat16_and_keeps_float32_weights(tmp_path):
    learner = TinyLearner()
    seen = []
    learner.head.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    run(tmp_path, dataclasses.replace(CONFIG, precision="bf16", steps=3), learner)
    assert seen[0] == torch.bfloat16
    assert learner.head.weight.dtype == torch.float32


def test_a_used_folder_is_refused(tmp_path):
    run(tmp_path, dataclasses.replace(CONFIG, steps=2))
    with pytest.raises(ValueError, match="already holds checkpoints up to step 2"):
        run(tmp_path, dataclasses.replace(CONFIG, steps=2))


def test_resume_of_another_configuration_is_refused(tmp_path):
    run(tmp_path, dataclasses.replace(CONFIG, steps=2))
    with pytest.raises(ValueError, match=r"fit\.lr was 0\.01, now 0\.1"):
        run(tmp_path, dataclasses.replace(CONFIG, steps=2, lr=0.1), resume=True)
    with pytest.raises(ValueError, match=r"config\.width was 8, now 9"):
        run(tmp_path, dataclasses.replace(CONFIG, steps=2), TinyLearner(TinyConfig(width=9)), resume=True)


def test_resume_may_change_what_does_not_change_the_weights(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, batch=stop_after(17))
    _, result = run(tmp_path, dataclasses.replace(CONFIG, save_every=3, keep_last=1, log_every=5), resume=True)
    assert result.steps == 30


def test_checkpoint_of_another_recipe_is_refused(tmp_path):
    run(tmp_path, dataclasses.replace(CONFIG, steps=2))
    other = TinyLearner(recipe="big")
    with pytest.raises(ValueError, match="recipe 'tiny', this run is 'big'"):
        run(tmp_path, dataclasses.replace(CONFIG, steps=2), other, resume=True)


def test_weights_of_another_model_are_refused(tmp_path):
    run(tmp_path, dataclasses.replace(CONFIG, steps=2))
    other = TinyLearner()
    other.head = nn.Linear(8, 2, bias=False)
    with pytest.raises(ValueError, match=r"belongs to another model: .*unknown \['head\.bias'\]"):
        run(tmp_path, dataclasses.replace(CONFIG, steps=2), other, resume=True)


def test_nan_names_the_step_and_the_windows(tmp_path):
    def locate(number, rank, world):
        return [("episode", 100 * number + row) for row in range(16)]

    text = r"step 6: batch 6 holds .*'obs' in windows \('episode', 603\), .*'action' in windows \('episode', 603\)$"
    with pytest.raises(FloatingPointError, match=text):
        run(tmp_path, batch=batches(poison=6), locate=locate)
    assert not (tmp_path / "checkpoints").exists(), "a broken model is not saved"


def test_divergence_is_told_from_bad_data(tmp_path):
    config = dataclasses.replace(CONFIG, lr=1e30, warmup=0)
    with pytest.raises(FloatingPointError, match=r"is finite itself \(rows 0, 1, .*and 4 more\): lower lr"):
        run(tmp_path, config)


def test_a_finished_run_resumes_to_its_result(tmp_path):
    _, first = run(tmp_path)
    _, again = run(tmp_path, resume=True)
    assert (again.steps, again.checkpoint) == (first.steps, first.checkpoint)


def test_a_compiler_that_fails_is_explained(tmp_path):
    """dynamo's own exception, raised without the seconds that a real compilation takes."""
    from torch._dynamo.exc import BackendCompilerFailed

    learner = TinyLearner()

    def fails(*args):
        raise BackendCompilerFailed("inductor", FileNotFoundError("g++"), None)

    learner.model.encoder.register_forward_pre_hook(fails)
    with pytest.raises(RuntimeError, match=r"torch\.compile failed.*set compile=False"):
        run(tmp_path, learner=learner)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # inductor's own
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_parts_learn_the_same(tmp_path):
    no_dropout = TinyConfig(dropout=0.0)
    plain, _ = run(tmp_path / "plain", learner=TinyLearner(no_dropout))
    compiled, _ = run(tmp_path / "compiled", dataclasses.replace(CONFIG, compile=True), TinyLearner(no_dropout))
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    torch.testing.assert_close(compiled.head.weight, plain.head.weight, rtol=1e-4, atol=1e-5)


def test_compile_needs_parts_to_compile(tmp_path):
    learner = TinyLearner()
    learner.model = nn.Identity()
    with pytest.raises(ValueError, match=r"model\.encoder"):
        run(tmp_path, dataclasses.replace(CONFIG, compile=True), learner)


def test_metrics_survive_a_torn_last_line(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, batch=stop_after(17))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 18, "lo')
    run(tmp_path, resume=True)
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))
    assert steps[-1] == 30
