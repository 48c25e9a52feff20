"""The numbers of a report in words: rates, intervals, durations and what a comparison shows."""

import math
from collections.abc import Callable
from typing import Any

from worldjepa.evaluate.report_read import number, rank

MINUS = "\u2212"
NONE = "\u2014"


def percent(rate: float | None, *, digits: int = 0) -> str:
    """A share as "87 %"."""
    return NONE if rate is None else f"{100 * rate:.{digits}f}\u00a0%"


def interval(low: Any, high: Any, *, scale: float = 1.0, spec: str | None = None, unit: str = "") -> str:
    """Two limits as "79 to 92 %" (a dash would read as a minus), with three digits or in the given format."""
    low, high = number(low), number(high)
    if low is None or high is None:
        return NONE
    shown = [significant(v * scale) if spec is None else signed(v * scale, spec) for v in (low, high)]
    return f"{shown[0]}\u00a0to\u00a0{shown[1]}{unit}"


def signed(value: float, spec: str = ".2f") -> str:
    """A number with a true minus sign."""
    return format(value, spec).replace("-", MINUS)


def plain(value: Any, spec: str = ".3g") -> str:
    """A number for a table, or a dash where there is none."""
    found = number(value)
    return NONE if found is None else signed(found, spec)


def significant(value: Any, digits: int = 3) -> str:
    """A number with some significant digits and no exponent where that can be read."""
    found = number(value)
    if found is None:
        return NONE
    if found == 0 or not 1e-4 <= abs(found) < 1e6:
        return signed(found, f".{digits}g")
    return signed(found, f".{max(0, digits - 1 - math.floor(math.log10(abs(found))))}f")


def duration(seconds: Any) -> str:
    """Seconds as "45 s", "12 min" or "3 h 20 min"."""
    found = number(seconds)
    if found is None:
        return NONE
    if found < 90:
        return f"{found:.0f}\u00a0s"
    minutes = round(found / 60)
    return f"{minutes}\u00a0min" if minutes < 90 else f"{minutes // 60}\u00a0h {minutes % 60}\u00a0min"


def size(num_bytes: int) -> str:
    """Bytes as "4.2 MB"."""
    return f"{num_bytes / 1e6:.1f}\u00a0MB" if num_bytes >= 1e5 else f"{num_bytes / 1e3:.0f}\u00a0kB"


def oriented(pair: dict) -> dict:
    """The same comparison with the policy that a table lists first as "a"."""
    if rank(pair["a"]) <= rank(pair["b"]):
        return pair
    turned = pair | {"a": pair["b"], "b": pair["a"]}
    turned |= {"difference": -pair["difference"], "low": -pair["high"], "high": -pair["low"]}
    score = pair.get("score")
    if isinstance(score, dict) and all(number(score.get(k)) is not None for k in ("difference", "low", "high")):
        change = {"difference": -score["difference"], "low": -score["high"], "high": -score["low"]}
        turned["score"] = score | change
    return turned


def comparison_sentence(pair: dict, label: Callable[[str], str]) -> dict[str, Any]:
    """What a paired comparison shows.

    Args:
        pair: {"a", "b", "difference" = rate of a - rate of b, "low", "high", "p_value", "test"}.
        label: Readable name of a policy.

    Returns:
        {"text", "detail", "is_clear": the interval of the difference leaves zero out}.
    """
    a, b = label(pair["a"]), label(pair["b"])
    points = [100 * pair[k] for k in ("difference", "low", "high")]
    clear = points[1] > 0 or points[2] < 0
    shown = f"{abs(points[0]):.1f}".removesuffix(".0") + " points"
    if clear:
        text = f"{a} succeeds {shown} {'more' if points[0] > 0 else 'less'} often than {b}."
    elif points[0] == 0:
        text = f"{a} and {b} succeed equally often; no difference is shown."
    else:
        text = (
            f"{a} is {shown} {'above' if points[0] > 0 else 'below'} {b}, which these episodes do not tell from chance."
        )
    parts = [f"95\u00a0% interval of the difference {interval(points[1], points[2], spec='+.1f')} points"]
    p_value = number(pair.get("p_value"))
    if p_value is not None:
        shown_p = "p\u00a0<\u00a00.001" if p_value < 0.001 else f"p\u00a0=\u00a0{p_value:.2g}"
        parts.append(f"{pair['test']}: {shown_p}" if pair.get("test") else shown_p)
    score = pair.get("score")
    if isinstance(score, dict) and (change := number(score.get("difference"))) is not None:
        limits = interval(score.get("low"), score.get("high"))
        parts.append(f"best score {signed(change, '+.3g')} (95\u00a0% interval {limits})")
    return {"text": text, "detail": "; ".join(parts), "is_clear": clear}
