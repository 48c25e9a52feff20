"""The views benchmark and its helpers in miniature: verdicts, tables, runs that resume, steps that are timed."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from tensordict import TensorDict

from worldjepa.evaluate.statistics import Interval
from worldjepa.recipes import seq_jepa, view_pairs
from worldjepa.types import DataSpec, ObsSpec


@pytest.fixture
def folder(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of the benchmarks, from which modules can be imported now."""
    place = repository / "examples" / "benchmarks"
    monkeypatch.syspath_prepend(str(place))
    return place


@pytest.fixture
def benchmark(folder: Path) -> ModuleType:
    return pytest.importorskip("seq_jepa")


@pytest.fixture
def tables(folder: Path) -> ModuleType:
    return pytest.importorskip("seq_jepa_tables")


def score(value: float) -> dict[str, float]:
    return {"estimate": value, "low": value - 0.1, "high": value + 0.1}


def outcome(relative: float, aggregate: dict[str, float], **measured: Any) -> dict[str, Any]:
    """What the tables read of a seq-JEPA's run."""
    record = {
        "recipe": "seq_jepa",
        "observed": 3,
        "lengths": [1, 3],
        "groups": ["rotation"],
        "accuracy": {
            "aggregate": {length: score(x) for length, x in aggregate.items()},
            "encoder": {length: score(x - 0.1) for length, x in aggregate.items()},
        },
        "relative": {"encoder": {"rotation": score(relative)}},
        "individual": {"encoder": {"rotation": score(relative)}},
        "collapse": {"rank": 5.0},
        **measured,
    }
    return {"measured": record, "train_seconds": 60.0, "clock": "cpu"}


@pytest.mark.parametrize(
    ("difference", "sign", "aimed", "said"),
    [
        ((0.3, 0.1, 0.5), 1, None, "holds"),
        ((0.3, 0.1, 0.5), 1, 0.2, "holds"),
        ((0.1, 0.05, 0.15), 1, 0.2, "holds, less than .2"),
        ((0.3, -0.1, 0.7), 1, 0.2, "undecided"),
        ((0.0, 0.0, 0.0), 1, None, "undecided"),
        ((-0.3, -0.5, -0.1), 1, 0.2, "fails"),
        ((-0.3, -0.5, -0.1), -1, None, "holds"),
        ((0.3, 0.1, 0.5), -1, None, "fails"),
        ((-0.3, -0.7, 0.1), -1, None, "undecided"),
    ],
)
def test_a_verdict_asks_for_an_interval_clear_of_zero(tables, difference, sign, aimed, said) -> None:
    assert tables.verdict(Interval(*difference), sign=sign, aimed=aimed) == said


def test_intervals_in_cells_are_students(tables) -> None:
    found = tables.student([1.0, 2.0, 3.0])  # 4.303 / sqrt(3)
    assert (found.estimate, found.low, found.high) == pytest.approx((2.0, -0.484, 4.484), abs=1e-3)
    assert tables.cell([1.0, 2.0, 3.0]) == "2.000 \u00b12.484"
    assert tables.cell([0.5]) == "0.500"
    assert tables.cell([]) == "-"


def test_an_ordering_is_judged_seed_by_seed_and_left_out_without_its_methods(tables) -> None:
    runs = {
        "seq-3": [outcome(0.5 + 0.01 * seed, {"1": 0.7, "3": 0.8 + 0.01 * seed}) for seed in range(3)],
        "no action": [outcome(0.2 + 0.01 * seed, {"1": 0.7, "3": 0.7}) for seed in range(3)],
    }
    found = {row.claim: row for row in tables.orderings(runs)}
    gain = found["(i) relative R^2: seq-3 - no action"]
    assert gain.values == pytest.approx([0.3, 0.3, 0.3])
    assert [claim for claim in found if claim.startswith(("(ii)", "(v)", "(vi)"))] == []
    table = tables.orderings_table(list(found.values()))
    assert next(iter(table.columns[-1].cells)) == "holds"
    single = tables.orderings_table(tables.orderings({name: found[:1] for name, found in runs.items()}))
    assert set(single.columns[-1].cells) == {""}
    saccades = [row.claim for row in tables.orderings(runs, saccades=True)]
    assert "(vi) top-1 of the aggregate: seq-3 - no action" in saccades
    assert not any("no saliency" in claim for claim in saccades)


def test_seeds_are_averaged_with_their_interval(tables) -> None:
    runs = [outcome(value, {"1": 0.5}, retrieval=None) for value in (1.0, 2.0, 3.0)]
    found = tables.averaged("seq-3", runs)
    assert found["relative"]["encoder"]["rotation"]["estimate"] == pytest.approx(2.0)
    assert found["relative"]["encoder"]["rotation"]["high"] == pytest.approx(4.484, abs=1e-3)
    assert (found["run"], found["observed"], found["retrieval"]) == ("seq-3", 3, None)
    assert tables.averaged("seq-3", runs[:1])["relative"] == runs[0]["measured"]["relative"]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, ""),
        ({"batch_size": 64, "lr": 1e-3, "device": "cpu"}, ""),
        ({"batch_size": 32, "lengths": (1, 3), "device": "auto"}, "-lengths1_3-batch32-auto"),
        ({"preset": "threedie", "batch_size": 512}, "-threedie"),
    ],
)
def test_a_folder_is_named_after_what_differs_from_the_preset(benchmark, changes, name) -> None:
    assert benchmark.settings(benchmark.Args(**changes)) == name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ("seq3",)}, "--methods must be among seq-1, seq-3"),
        ({"lengths": (3, 5)}, "must have 1"),
        ({"methods": ("hues told",), "source": "saccades"}, "for --source poses"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(benchmark, changes, message) -> None:
    with pytest.raises(SystemExit, match=message):
        benchmark.check(benchmark.Args(**changes))


def test_a_gpu_is_busy_from_its_first_kernel_on(benchmark) -> None:
    gpu_use = pytest.importorskip("gpu_use")  # benchmark has put its folder on the path
    assert gpu_use.busy("0\n0\n80\n0\n40\n") == pytest.approx(0.4)
    assert gpu_use.busy("[N/A]\n0\n") is None
    with gpu_use.watched("cpu") as gpu:
        pass
    assert gpu == {}


def test_the_published_preset_makes_a_step(benchmark) -> None:
    args = benchmark.Args(preset="threedie")
    fit = benchmark.training(args, 4, 0, "wall")
    assert (fit.batch_size, fit.lr, fit.steps) == (512, 4e-4, 488)
    obs = {"image": ObsSpec((128, 128, 3), "uint8"), "rotation": ObsSpec((4,), "float32")}
    spec = DataSpec(obs, 4)
    assert view_pairs.build(benchmark.configuration(args, "simclr")[1], spec)[0].encoder.dim == 512
    config = replace(benchmark.configuration(args, "seq-3")[1], momentum_steps=fit.steps)
    model, objective = seq_jepa.build(config, spec)
    batch = TensorDict(
        {
            "obs": {
                "image": torch.randint(256, (2, 4, 128, 128, 3), dtype=torch.uint8),
                "rotation": torch.nn.functional.normalize(torch.randn(2, 4, 4), dim=-1),
            },
            "valid": torch.ones(2, 4, dtype=torch.bool),
        },
        batch_size=[2],
    )
    objective(model(batch), batch)["loss"].backward()
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert sum(parameter.numel() for parameter in learned) > 11e6  # a ResNet-18 and more
    assert all(parameter.grad is not None for parameter in learned)


@pytest.mark.draws
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_runs_are_made_once_and_measured_again_without_training(benchmark, tmp_path: Path, monkeypatch, capsys) -> None:
    small = replace(benchmark.PRESETS["small"], probe_epochs=2, probe_hidden=8)
    monkeypatch.setitem(benchmark.PRESETS, "small", small)
    size: dict[str, Any] = {"objects": 60, "recorded_views": 4, "batch_size": 8, "views": 64, "lengths": (1, 3)}
    args = benchmark.Args(out=tmp_path, methods=("seq-3", "no action", "hues told"), seeds=(0, 1), **size)
    benchmark.main(args)
    shown = capsys.readouterr().out
    for text in ("seq-3-seed0: 2 steps of", "random weights", "pixels", "orderings of the paper", "(i) relative R^2"):
        assert text in shown
    assert "1 views" not in shown
    place = tmp_path / f"turntable60x4-poses-64views{benchmark.settings(args)}"
    assert {x.name for x in place.iterdir()} >= {"floors-seed0", "floors-seed1", "no_action-seed1", "equivariance.png"}

    run = place / "seq-3-seed0"
    before = (run / "metrics.jsonl").read_bytes()
    (run / "outcome.json").unlink()
    benchmark.main(args)  # measures, and does not train
    again = capsys.readouterr().out
    assert again.count(" steps of ") == 1
    assert (run / "metrics.jsonl").read_bytes() == before
    assert last_tables(again) == last_tables(shown)

    with monkeypatch.context() as patch:
        patch.setattr(benchmark, "train", None)
        benchmark.main(replace(args, methods=("no action", "seq-3"), seeds=(1,)))
    assert "random weights" in capsys.readouterr().out
    benchmark.main(replace(args, methods=("simclr", "no action"), seeds=(1,)))  # a baseline first
    assert capsys.readouterr().out.count(" steps of ") == 1


def last_tables(shown: str) -> list[str]:
    """What is printed from the orderings on, without the time that all took."""
    lines = shown.split("orderings of the paper")[1].strip().splitlines()
    return [line for line in lines if "of training" not in line]


@pytest.mark.slow
def test_both_forms_of_a_step_agree_and_are_timed(folder: Path, monkeypatch, capsys) -> None:
    module = pytest.importorskip("seq_step")
    words = ["--px", "32", "--batch", "2", "--width", "8", "--rounds", "1", "--device", "cpu"]
    monkeypatch.setattr("sys.argv", ["seq_step.py", *words])
    module.main()
    shown = capsys.readouterr().out
    assert "| naive / ours |" in shown


@pytest.mark.draws
@pytest.mark.slow
def test_views_a_second_are_counted(folder: Path, capsys) -> None:
    pytest.importorskip("turntable").main(sizes=(32,), objects=1, repeats=1)
    rows = [line for line in capsys.readouterr().out.splitlines() if "32 px" in line]
    assert [row.split("|")[1].strip() for row in rows] == ["step, plain", "step", "collect, plain", "collect"]
