"""The Push-T benchmark from images, on three human demonstrations: it learns, prints a table, and starts again."""

import json
import warnings
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console


@pytest.fixture
def benchmark(repository: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(repository / "examples" / "benchmarks"))
    module = pytest.importorskip("pusht")
    monkeypatch.setattr(module, "CONSOLE", Console(width=160))
    return module


def first_demonstrations(recording: Path, folder: Path, num: int) -> Path:
    """The first demonstrations of a Push-T zip, as a folder of the same layout."""
    zarr = pytest.importorskip("zarr")
    store = zarr.storage.ZipStore(recording, mode="r")
    whole = zarr.open_group(store, mode="r", path="pusht_cchi_v7_replay.zarr")
    ends = whole["meta/episode_ends"][:num]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        part = zarr.open_group(folder, mode="w", zarr_format=2)
        for name in ("state", "action", "keypoint", "n_contacts", "img"):
            part.create_array(f"data/{name}", data=whole[f"data/{name}"][: ends[-1]])
        part.create_array("meta/episode_ends", data=ends)
    store.close()
    return folder


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"cpu_minutes": 6.0}, "6min"),
        ({"steps": 3000, "num_demos": 30}, "3000steps-30demos"),
        ({"steps": 3000, "num_demos": 30, "episodes": 100}, "3000steps-30demos-100episodes"),
        ({"tune": True, "n_action_steps": 4, "lr": 3e-4, "batch_size": 64}, "20min-tune-4executed-lr0.0003-batch64"),
    ],
)
def test_a_folder_is_named_after_what_differs_from_the_defaults(benchmark, changes, name) -> None:
    assert benchmark.setting(benchmark.Args(data=Path("x"), **changes)) == name


@pytest.mark.data
@pytest.mark.draws
@pytest.mark.slow
def test_images_train_and_a_table_comes_out(benchmark, data_dir: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(benchmark, "NUM_VALID", 1)
    few = first_demonstrations(data_dir / "robot" / "pusht_cchi_v7_replay.zarr.zip", tmp_path / "few.zarr", 3)
    methods, small = ("act_jepa", "act"), {"trunk_width": "8"}
    size = {"steps": 100, "batch_size": 8, "lr": 3e-3, "episodes": 2, "seeds": (0,)}
    args = benchmark.Args(data=few, out=tmp_path, images=True, methods=methods, model=small, **size)
    benchmark.main(args)
    table = capsys.readouterr().out
    for word in (*methods, "random", "noop", "success at .95", "probe RMSE"):
        assert word in table
    for method in methods:
        run = tmp_path / benchmark.setting(args) / f"{method}-seed0"
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        losses = [row["loss"] for row in rows if "loss" in row]
        assert losses[-1] < 0.8 * losses[0], losses
    monkeypatch.setattr(benchmark, "run", None)  # started again, it reads what is there
    benchmark.main(args)
    assert capsys.readouterr().out.strip().splitlines()[-6:] == table.strip().splitlines()[-6:]
