"""Writes the comparison's rows as a Markdown table."""
import statistics


def number(value):
    """Three significant digits, and no exponent."""
    if value >= 1e6:
        return f"{value / 1e6:.2f} M"
    if value >= 1e4:
        return f"{value / 1e3:.0f} k"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def figure(values, unit):
    return f"{number(statistics.median(values))} {unit}"


def goal_text(row):
    if row.goal is None:
        return "–"
    return f"{'≥' if row.at_least else '≤'} {row.goal:g}"


def cells(row):
    if row.missing:
        return [row.what, row.peer, "", "", f"not measured: {row.missing}", goal_text(row), ""]
    ratio = f"**{statistics.median(row.ratios):.2f}** ({min(row.ratios):.2f}–{max(row.ratios):.2f})"
    met = {None: "", True: "yes", False: "no"}[row.met()]
    return [row.what, row.peer, figure(row.ours, row.unit), figure(row.theirs, row.unit), ratio, goal_text(row), met]


def markdown(rows, notes):
    head = ["what", "against", "tensord", "the other", "ratio: median (min–max)", "goal", "met"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    return "\n".join([*lines, "", *(note + "  " for note in notes)]) + "\n"
