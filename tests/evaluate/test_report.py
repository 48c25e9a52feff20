"""The report: what it says of a run, what it says of a broken one, and how it looks in a browser."""

import copy
import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.evaluate.run_folder import config, dump, evaluation, imagination, metrics, probe, write_run
from worldjepa.evaluate.report import write_report
from worldjepa.evaluate.report_imagination import error_over_horizon, layout, plot_imagination
from worldjepa.evaluate.report_text import comparison_sentence, duration, interval, oriented, significant

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine to look at the page with")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "push")


@pytest.fixture(scope="module")
def page(run) -> str:
    return write_report(run).read_text(encoding="utf-8")


def text_of(page: str) -> str:
    """What a reader sees: no tags, no styles, one space between words."""
    bare = re.sub(r"<style.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(bare).split())


def policies_of(page: str) -> list[str]:
    """First column of the success table."""
    table = page[page.index('<section id="success">') : page.index('<section id="videos">')]
    return re.findall(r'<th scope="row">([^<]+)</th><td class="n"><b>', table)


def test_numbers_of_the_run_are_on_the_page(page):
    text = text_of(page)
    for part in (
        "ACT-JEPA on worldjepa/Push-v0",
        "87 % 79 to 92 %",
        "87 of 100",
        "ACT-JEPA succeeds 15 points more often than ACT.",
        "exact McNemar: p = 0.0013",
        "ACT is 3 points above Random, which these episodes do not tell from chance.",
        "RMSE is 38 % below that of ACT",
        "The error is 0.16 times that of assuming that nothing moves.",
        "Every policy met the same recorded starts (list c0ffeec0ffee).",
        "worldjepa train act_jepa demos/push.hdf5 --out runs/push",
        "Training episodes 180",
        "Steps 6,000",
        "Training time 7 min",
    ):
        assert part in text
    assert "not run" not in text
    assert "Could not be read" not in text


def test_floors_stand_last_and_beside_the_learned_policies(page):
    names = policies_of(page)
    assert names == ["ACT-JEPA", "ACT", "BC", "Scripted expert", "No-op", "Random"]
    assert page.count('<tr class="floor">') == 2


def test_page_asks_for_nothing_from_outside(page):
    addresses = re.findall(r'(?:src|href|data|poster|action)="([^"]*)"', page)
    assert addresses
    assert all(a.startswith(("#", "data:")) for a in addresses)
    assert "http://" not in page
    assert "https://" not in page
    assert "@import" not in page
    assert re.findall(r"url\((?!#)", page) == []
    assert "<script" not in page


def test_ids_are_unique_and_every_reference_has_one(page):
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    wanted = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    assert wanted <= set(ids)


def test_charts_take_their_colours_from_the_page(page):
    charts = re.findall(r'<svg class="chart".*?</svg>', page, flags=re.DOTALL)
    assert len(charts) > 15
    for chart in charts:
        fixed = re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", chart)
        assert fixed == []


def test_videos_are_inside_and_labelled(run, page):
    assert page.count("data:video/mp4;base64,") == 3
    first = json.loads((run / "evaluations/act_jepa.json").read_text())["episodes"][:3]
    labels = re.findall(r'<span class="chip (?:good|bad)">\S+ ((?:not )?solved)</span>\s*ACT-JEPA, episode (\d)', page)
    assert labels == [("solved" if e["success"] else "not solved", str(e["index"])) for e in first]


def test_large_and_foreign_videos_are_not_embedded(tmp_path):
    run = write_run(tmp_path / "run", policies=("act_jepa",))
    (run / "videos/act_jepa_000.mp4").write_bytes(bytes(3_000_001))
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(b"outside the run")
    path = run / "evaluations/act_jepa.json"
    dump(path, json.loads(path.read_text()) | {"videos": ["videos/act_jepa_000.mp4", "../secret.mp4"]})
    page = write_report(run).read_text(encoding="utf-8")
    assert "Not embedded (3.0" in page
    assert "secret" not in page
    assert page.count("data:video/mp4;base64,") == 2  # found in videos/, listed by no evaluation


def test_empty_folder_says_what_to_run(tmp_path):
    text = text_of(write_report(tmp_path).read_text(encoding="utf-8"))
    for part in ("Evaluation in the simulator", "Videos", "Imagination", "Probe", "Training"):
        assert f"{part}: not run. To make it: worldjepa" in text
    assert "Data: not recorded" in text
    assert " 0 %" not in text


def test_missing_parts_are_named_one_by_one(tmp_path):
    run = write_run(tmp_path / "run", policies=("act_jepa", "act"))
    (run / "comparison.json").unlink()
    (run / "probe.json").unlink()
    text = text_of(write_report(run).read_text(encoding="utf-8"))
    assert "Paired comparison of the policies: not run" in text
    assert "Floors (random, no-op): not run" in text
    assert "Probe: not run" in text
    assert "Imagination: not run" not in text


def test_recipe_without_a_predictor_is_not_told_to_imagine(tmp_path):
    dump(tmp_path / "config.json", config() | {"recipe": "bc"})
    text = text_of(write_report(tmp_path).read_text(encoding="utf-8"))
    assert "no predictor, so it imagines nothing" in text
    assert "Imagination: not run" not in text


def test_folder_that_does_not_exist(tmp_path):
    with pytest.raises(ValueError, match=r"expected a run folder .* no such folder"):
        write_report(tmp_path / "nowhere")


def test_unreadable_parts_are_named_with_the_reason(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "probe.json").write_text('{"rows": [')
    broken = imagination(np.random.default_rng(0))
    broken["starts"][0]["real"][3] = [1.0]
    dump(run / "imagination.json", broken)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6020, "lo')
    dump(
        run / "evaluations/bc.json", {"policy": "bc", "num_episodes": 3, "success": {"rate": 0.5, "low": 0, "high": 1}}
    )
    dump(run / "comparison.json", [])
    text = text_of(write_report(run).read_text(encoding="utf-8"))
    assert "run/probe.json : Expecting value" in text
    assert "run/imagination.json :" in text
    assert "run/metrics.jsonl : 1 of 301 lines cannot be read and are left out" in text
    assert "run/evaluations/bc.json : has no field 'count'" in text
    assert "run/comparison.json : expected a JSON object" in text
    assert "Probe: could not be read, see above. To make it again: worldjepa imagine" in text
    assert "87 of 100" in text


def test_no_odd_json_value_stops_the_report(tmp_path):
    """Every field of every file replaced in turn by things that do not belong there."""
    rng = np.random.default_rng(0)
    files = {"config.json": config(), "probe.json": probe(), "imagination.json": imagination(rng)}
    files["evaluations/act_jepa.json"] = evaluation("act_jepa", rng, 5)
    files["comparison.json"] = {"pairs": [{"a": "act_jepa", "b": "act", "difference": 0.1, "low": 0, "high": 0.2}]}
    files["imagination.json"]["starts"] = files["imagination.json"]["starts"][:1]
    (tmp_path / "evaluations").mkdir()
    for name, value in files.items():
        dump(tmp_path / name, value)
    odd = [None, "text", -1, [], {}, [None], float("nan"), {"a": [1]}, True]
    for trial in range(12):
        for name, value in files.items():
            changed = copy.deepcopy(value)
            for _ in range(1 + trial // 4):
                place = changed
                while True:
                    key = rng.choice(list(place)) if isinstance(place, dict) else int(rng.integers(len(place)))
                    inside = place[key]
                    if not isinstance(inside, dict | list) or not inside or rng.random() < 0.3:
                        break
                    place = inside
                place[key] = odd[int(rng.integers(len(odd)))]
            dump(tmp_path / name, changed)
        page = write_report(tmp_path).read_text(encoding="utf-8")
        assert page.rstrip().endswith("</html>")


def test_names_cannot_write_into_the_page(tmp_path):
    run = write_run(tmp_path / "run", policies=())
    evil = "<script>alert(1)</script>\"'&$x_1$"
    settings = config() | {
        "recipe": evil,
        "command": evil,
        "versions": {evil: evil},
        "config": {"note": "</pre>" + evil},
    }
    settings["data"] = {"path": evil, "episodes": {evil: 3}}
    dump(run / "config.json", settings)
    dump(run / "evaluations/a.json", evaluation("act", np.random.default_rng(0), 10) | {"policy": evil, "env": evil})
    dump(run / "imagination.json", imagination(np.random.default_rng(0), (evil, "b", "c")))
    dump(
        run / "probe.json", probe() | {"unit": "<b>", "rows": [{"model": evil, "rmse": 1.0}], "per_step": {evil: [1.0]}}
    )
    row = metrics(np.random.default_rng(0))[0]
    (run / "metrics.jsonl").write_text(json.dumps(row | {evil: 1.0, "collapse/" + evil: 2.0}) + "\n")
    page = write_report(run, title=evil).read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<b>)" not in page
    assert page.count("</pre>") == page.count("<pre")
    assert "alert(1)" in text_of(page)


def test_other_runs_stand_beside_without_a_second_floor(tmp_path):
    run = write_run(tmp_path / "jepa", policies=("act_jepa", "random", "noop"))
    other = write_run(tmp_path / "act", policies=("act", "act_jepa", "random"))
    page = write_report(run, others=[other]).read_text(encoding="utf-8")
    names = policies_of(page)
    assert names == ["ACT-JEPA", "ACT-JEPA (act)", "ACT", "No-op", "Random"]
    assert "Runs in this report" in page


def test_doubts_are_said(tmp_path):
    run = write_run(tmp_path / "run", policies=("act_jepa", "random"))
    path = run / "evaluations/random.json"
    lucky = json.loads(path.read_text()) | {"success": {"rate": 0.8, "low": 0.7, "high": 0.9, "count": 80}}
    lucky["manifest"] = {"sha256": "other"}
    dump(path, lucky)
    steps = range(100, 2100, 100)
    rows = [
        {"step": s, "collapse/std": 0.9 * 0.5 ** (s / 200), "collapse/std_min": 0.1, "collapse/copy_ratio": 1.2}
        for s in steps
    ]
    rows[-1]["collapse/std_min"] = 0.0
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = text_of(write_report(run).read_text(encoding="utf-8"))
    assert "The success of ACT-JEPA does not stand clear of the floors." in text
    assert "Random already succeeds in 80 %: an easy task." in text
    assert "did not all meet the same starts" in text
    assert text.count("! look here") == 3
    assert "healthy " not in text.replace("Healthy", "")


def test_half_written_report_is_never_left(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run", policies=("act_jepa",))
    write_report(run)
    before = (run / "report.html").read_bytes()

    def full(self, *args, **kwargs):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(run)
    assert (run / "report.html").read_bytes() == before
    assert [p.name for p in run.glob("*.html")] + [p.name for p in run.glob(".report*")] == ["report.html"]


def test_resumed_metrics_keep_the_last_entry_of_a_step(tmp_path):
    rows = [
        {"step": 100, "loss": 4.0},
        {"step": 200, "loss": 3.0},
        {"step": 200, "loss": 2.0},
        {"step": 300, "loss": None},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "First to last: loss 4.00 \u2192 2.00." in text_of(write_report(tmp_path).read_text(encoding="utf-8"))


def test_layout_pairs_positions_and_leaves_joints():
    starts = [{"real": (np.arange(3)[:, None] * np.arange(6)).tolist()}]
    found = layout(
        {"names": ["agent_pos[0]", "agent_pos[1]", "block.x", "block.y", "block_pose[2]", "z"], "starts": starts}
    )
    assert found.pairs == [("agent_pos", 0, 1), ("block", 2, 3)]
    assert found.curves == [4, 5]
    names = ["qpos[0]", "qpos[1]", "max", "y", "tip_vel[0]", "tip_vel[1]"]
    found = layout({"names": names, "starts": starts})
    assert found.pairs == []
    assert found.num_hidden == 2
    names = ["block[0]", "block[1]", "goal[0]", "goal[1]", "goal[2]", "angle"]
    still = {"real": np.array([[0, 0, 1, 2, 3, 0], [1, 2, 1, 2, 3, 1]]).tolist()}
    found = layout({"names": names, "starts": [still]})
    assert (found.pairs, found.curves, found.num_hidden) == ([("block", 0, 1)], [5], 3)


def test_error_over_horizon_closed_form():
    start = {"real": [[0.0, 0.0], [3.0, 4.0]], "imagined": [[1.0, 1.0], [3.0, 4.0]], "copy": [[0.0, 0.0], [0.0, 0.0]]}
    first, errors = error_over_horizon({"starts": [start]})
    assert first == 0
    assert errors["imagined"] == pytest.approx([1.0, 0.0])
    assert errors["copy"] == pytest.approx([0.0, np.sqrt(12.5)])


def test_plot_imagination_draws_every_start_and_refuses_none(tmp_path):
    found = imagination(np.random.default_rng(0))
    figure = plot_imagination(found, max_starts=4)
    path = tmp_path / "imagination.png"
    figure.savefig(path, dpi=60)
    assert len(figure.axes) == 8  # a plane and an angle for each start
    assert np.asarray(Image.open(path).convert("L")).std() > 5
    with pytest.raises(ValueError, match="at least one start"):
        plot_imagination(found | {"starts": []})


def test_numbers_in_words():
    assert significant(0.0412345) == "0.0412"
    assert significant(123456) == "123456"
    assert significant(float("nan")) == "\u2014"
    assert interval(-0.02, 0.08, scale=100, spec="+.1f") == "\u22122.0\u00a0to\u00a0+8.0"
    assert [duration(s) for s in (45, 720, 12000)] == ["45\u00a0s", "12\u00a0min", "3\u00a0h 20\u00a0min"]
    worse = {"a": "act", "b": "bc", "difference": -0.2, "low": -0.3, "high": -0.1, "p_value": 0.2}
    assert comparison_sentence(worse, str)["text"] == "act succeeds 20 points less often than bc."
    assert comparison_sentence(worse | {"high": 0.0}, str)["is_clear"] is False


def test_comparison_is_turned_to_the_first_policy():
    score = {"difference": -0.2, "low": -0.25, "high": -0.1}
    pair = {"a": "random", "b": "act_jepa", "difference": -0.8, "low": -0.9, "high": -0.7, "score": score}
    turned = oriented(pair)
    assert comparison_sentence(turned, str)["text"] == "act_jepa succeeds 80 points more often than random."
    assert "best score +0.2 (95\u00a0% interval 0.100\u00a0to\u00a00.250)" in comparison_sentence(turned, str)["detail"]
    assert oriented(turned) is turned


def browse(page: Path, folder: Path, width: int, height: int, *options: str) -> subprocess.CompletedProcess:
    """Runs headless Chromium on a page in a frame of the given width (its windows cannot be narrower than 500)."""
    frame = folder / "frame.html"
    measure = "const d = f.contentDocument; document.body.dataset.width = d.scrollingElement.scrollWidth;"
    measure += "document.body.dataset.height = d.scrollingElement.scrollHeight;"
    measure += "document.body.dataset.videos = [...d.querySelectorAll('video')].filter(v => v.error).length;"
    source = html.escape(page.read_text(encoding="utf-8"))
    frame.write_text(
        f'<body style="margin:0"><iframe id="f" style="border:0;display:block;width:{width}px;height:{height}px" '
        f'srcdoc="{source}"></iframe><script>f.onload = () => {{ {measure} }}</script>',
        encoding="utf-8",
    )
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    flags += (
        "--disable-component-update --disable-sync --hide-scrollbars --enable-logging=stderr --virtual-time-budget=4000"
    )
    command = [
        str(CHROMIUM),
        *flags.split(),
        f"--user-data-dir={folder / 'profile'}",
        f"--window-size={width},{height}",
    ]
    return subprocess.run([*command, *options, frame.as_uri()], capture_output=True, text=True, timeout=120, check=True)


@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("part", ["whole", "empty"])
def test_page_in_a_browser(run, page, tmp_path, width, part):
    assert page
    path = run / "report.html" if part == "whole" else write_report(tmp_path)
    found = browse(path, tmp_path, width, 900, "--dump-dom")
    assert "CONSOLE" not in found.stderr
    measured = {k: int(v) for k, v in re.findall(r'data-(width|height|videos)="(\d+)"', found.stdout)}
    assert measured["width"] <= width
    assert measured["height"] > (4000 if part == "whole" else 900)
    assert measured["videos"] == 0


@needs_browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "dark")])
def test_screenshot_is_not_blank(run, page, tmp_path, width, scheme):
    assert page
    picture = tmp_path / "page.png"
    dark = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    browse(run / "report.html", tmp_path, width, 4000, f"--screenshot={picture}", *dark)
    pixels = np.asarray(Image.open(picture).convert("L"))[:, :width].astype(float)
    middle = float(np.median(pixels))
    assert middle > 200 if scheme == "light" else middle < 60
    bands = pixels.reshape(8, -1, width).std(axis=(1, 2))
    assert (bands > 6).all()  # every eighth of the page holds something that stands out
