"""The report of a world model: pictures of imagined futures and its suite."""

import json

from tests.evaluate.run_folder import dump, write_run
from worldjepa.evaluate.report import write_report


def world_model_record() -> dict:
    curve = [0.2, 0.3, 0.4]
    probe = {"encoder": {"rmse": 0.0712}, "random init": {"rmse": 0.986}, "mean": {"rmse": 0.97}}
    success = {"rate": 0.5, "low": 0.24, "high": 0.76, "count": 5}
    return {
        "recipe": "ac_jepa",
        "open_loop": {"stride": 5, "latent": {"imagined": curve, "copy": [2 * x for x in curve], "linear": curve}},
        "probe": {"linear": probe, "mlp": probe},
        "collapse": {"rank": 24.7, "std": 0.906, "std_min": 0.0417, "dim": 64},
        "planning": {"dropped_already_solved": 3, "ms_per_plan": {"median": 18.04, "n": 15}},
        "factors": {"agent_color": {"policies": {"ac_jepa": success}, "num_episodes": 10}},
    }


def test_pictures_and_the_suite_of_a_world_model_are_shown(tmp_path):
    run = write_run(tmp_path / "run", num_episodes=10)
    found = json.loads((run / "imagination.json").read_text())
    steps = {name: [0.1, 0.2, 0.3] for name in ("imagined", "copy", "linear", "decoder")}
    dump(run / "imagination.json", found | {"per_step": steps, "stride": 5})
    dump(run / "world_model.json", world_model_record())
    (run / "imagination").mkdir()
    (run / "imagination" / "recorded_000.png").write_bytes(b"a grid")
    (run / "imagination" / "recorded_000.mp4").write_bytes(b"a film")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (run / "imagination" / "stolen_000.png").symlink_to(tmp_path / "secret.png")
    page = write_report(run).read_text()
    assert page.count("data:image/png;base64,YSBncmlk") == 1
    assert page.count("data:video/mp4;base64,YSBmaWxt") == 1
    assert "c2VjcmV0" not in page
    numbers = ("24.7 of 64", "0.0417", "0.0712", "5/10")
    for text in ("Under the recorded actions, start 0", *numbers, "agent color", "Linear model"):
        assert text in page
    (run / "world_model.json").write_text(json.dumps(world_model_record() | {"probe": {}}))
    page = write_report(run).read_text()
    assert "has no field" in page
    assert "World-model suite" not in page
