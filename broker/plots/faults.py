"""The picture of a recovery report: the gap over time, with the faults behind it."""

from pathlib import Path

from peercell.broker.faults.recovery import Recovery
from peercell.broker.plots.style import ALARM, FAINT, INK, LOW, house_style, new_figure, save

# EUR; what is less is as good as nothing, and has no logarithm.
_GAP_EUR_MIN = 1e-12


def draw_recovery(found: Recovery, path: Path) -> None:
    """Write a picture of a recovery; the ending of the path says which kind.

    Raises
    ------
    MissingExtraError : matplotlib is not installed.
    """
    with house_style():
        figure = new_figure(8.0, 4.2)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.0, 1.0))
        times_s = [sample.at_s for sample in found.samples]
        for axes in (above, below):
            for step in found.steps:
                axes.axvspan(step.begun_s, step.ended_s, color=ALARM, alpha=0.15, lw=0)
        above.semilogy(times_s, [max(each.gap_eur, _GAP_EUR_MIN) for each in found.samples])
        above.lines[0].set(color=LOW)
        above.set_ylabel("gap of the newest plans, EUR")
        for number, step in enumerate(found.steps, start=1):
            where = (step.begun_s, 0.97)
            above.text(*where, f"{number}", transform=above.get_xaxis_transform(), va="top")
        ill = [len(each.unmet) for each in found.samples]
        below.fill_between(times_s, ill, step="post", color=FAINT)
        below.set_ylabel("unmet", color=INK)
        below.set_xlabel("s after the beginning of the plan")
        save(figure, f"{found.cell}: what was broken, and how it healed", path)
