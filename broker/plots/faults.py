"""The picture of a recovery report: residual and gap over time, with the faults behind them."""

from pathlib import Path

from peercell.broker.faults.recovery import Recovery
from peercell.broker.plots.style import ALARM, FAINT, INK, LOW, house_style, new_figure, save

# EUR, and EUR/kWh; what is less is as good as nothing, and has no logarithm.
_LEAST = 1e-12


def draw_recovery(found: Recovery, path: Path) -> None:
    """Write a picture of a recovery; the ending of the path says which kind.

    Raises
    ------
    MissingExtraError : matplotlib is not installed.
    """
    with house_style():
        figure = new_figure(8.0, 6.0)
        top, above, below = figure.subplots(3, 1, sharex=True, height_ratios=(3.0, 3.0, 1.0))
        times_s = [sample.at_s for sample in found.samples]
        for axes in (top, above, below):
            for step in found.steps:
                axes.axvspan(step.begun_s, step.ended_s, color=ALARM, alpha=0.15, lw=0)
        known = [each for each in found.samples if each.residual_eur_per_kwh is not None]
        off = [max(each.residual_eur_per_kwh or 0.0, _LEAST) for each in known]
        top.semilogy([each.at_s for each in known], off, color=LOW)
        top.set_ylabel("residual, EUR/kWh")
        above.semilogy(times_s, [max(each.gap_eur, _LEAST) for each in found.samples])
        above.lines[0].set(color=LOW)
        above.set_ylabel("gap of the newest plans, EUR")
        for number, step in enumerate(found.steps, start=1):
            where = (step.begun_s, 0.97)
            top.text(*where, f"{number}", transform=top.get_xaxis_transform(), va="top")
        ill = [len(each.unmet) for each in found.samples]
        below.fill_between(times_s, ill, step="post", color=FAINT)
        below.set_ylabel("unmet", color=INK)
        below.set_xlabel("s after the beginning of the plan")
        save(figure, f"{found.cell}: what was broken, and how it healed", path)
