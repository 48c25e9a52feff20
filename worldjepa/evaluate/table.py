"""The success table for a terminal and for Markdown: every policy's rate with its interval, floors last."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from worldjepa.evaluate.report_read import FLOORS, label, number, rank
from worldjepa.evaluate.report_text import NONE, comparison_sentence, interval, oriented, percent, significant
from worldjepa.evaluate.results import Evaluation


def success_table(evaluations: Sequence[Evaluation | dict], comparison: dict | None = None) -> Table:
    """A table for a rich console; paired comparisons in words below it.

    Brackets hold 95 % intervals. The score is the mean over episodes of the best of each; steps are the median over
    solved episodes, milliseconds the median over actions.

    Args:
        evaluations: `Evaluation`s, or what their ``to_json`` gives, in any order.
        comparison: As in comparison.json, {"pairs": [...]}; None leaves the words out.

    Raises:
        ValueError: there is no evaluation.
    """
    found = _sorted(evaluations)
    columns = _columns(found)
    task = str(found[0].get("env") or "")
    caption = "\n".join(escape(line) for line in _sentences(comparison)) or None
    table = Table(
        box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True, title=escape(task) or None, title_justify="left"
    )
    table.caption, table.caption_justify = caption, "left"
    for i, name in enumerate(columns):
        table.add_column(escape(name), justify="right" if i else "left", no_wrap=i > 0)
    for evaluation in found:
        floor = evaluation["policy"].lower().replace("-", "_") in FLOORS
        table.add_row(*map(escape, _cells(evaluation, columns)), style="dim" if floor else None)
    return table


def success_markdown(evaluations: Sequence[Evaluation | dict], comparison: dict | None = None) -> str:
    """The same as a Markdown table, with a newline at its end.

    Args:
        evaluations, comparison: see `success_table`.

    Raises:
        ValueError: there is no evaluation.
    """
    found = _sorted(evaluations)
    columns = _columns(found)
    rows = [columns, ["---", *["---:"] * (len(columns) - 1)], *(_cells(e, columns) for e in found)]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    sentences = _sentences(comparison)
    if sentences:
        lines += ["", *(f"- {line}" for line in sentences)]
    return "\n".join(lines).replace("\u00a0", " ") + "\n"


def _sorted(evaluations: Sequence[Evaluation | dict]) -> list[dict]:
    if not evaluations:
        raise ValueError("expected at least one evaluation for a table, got none: run an evaluation first")
    found = [e if isinstance(e, dict) else e.to_json() for e in evaluations]
    return sorted(found, key=lambda e: rank(e["policy"]))


def _columns(found: Sequence[dict]) -> list[str]:
    scored = [e["score"]["name"] for e in found if e.get("score")]
    score = [f"best {scored[0]}"] if scored else []
    return ["policy", "success", "solved", *score, "steps", "ms/action"]


def _cells(evaluation: dict, columns: Sequence[str]) -> list[str]:
    success = evaluation["success"]
    score = evaluation.get("score")
    cells = [
        label(evaluation["policy"]),
        f"{percent(success['rate'], digits=1)} [{_limits(100 * success['low'], 100 * success['high'], '.1f')}]",
        f"{success['count']}/{evaluation['num_episodes']}",
    ]
    if len(columns) > 5:
        cells += [f"{significant(score['mean'])} [{_limits(score['low'], score['high'])}]" if score else NONE]
    steps = sorted(s for e in evaluation.get("episodes", []) if (s := number(e.get("steps_to_success"))) is not None)
    middle = (steps[(len(steps) - 1) // 2] + steps[len(steps) // 2]) / 2 if steps else None
    speed = evaluation.get("ms_per_action") or {}
    return [*cells, NONE if middle is None else f"{middle:.0f}", significant(speed.get("median"), 2)]


def _limits(low: float, high: float, spec: str | None = None) -> str:
    return interval(low, high, spec=spec).replace("\u00a0to\u00a0", ", ")


def _sentences(comparison: dict | None) -> list[str]:
    sentences = [comparison_sentence(pair, label) for pair in map(oriented, (comparison or {}).get("pairs", []))]
    return [f"{s['text']} ({s['detail']})" for s in sentences]
