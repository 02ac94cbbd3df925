"""The one error type a user may see: what failed, why, and what to try."""


class PeercellError(Exception):
    """A failure that is explained to the user in three lines instead of a traceback.

    Parameters
    ----------
    what : what failed, naming the thing (`cell "rural9" does not exist`).
    why : the observed value, file:line or peer that caused it; may be empty.
    fix : what to try, best a command that can be pasted; may be empty.

    Notes
    -----
    `exit_code` is what the command line ends with (docs/reference/cli-contract.md): 1 the operation
    failed, 3 a missing extra or broken set-up, 4 no such cell or unreachable, 5 not converged.
    """

    exit_code = 1

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        parts = [self.what]
        if self.why:
            parts.append(f"why: {self.why}")
        if self.fix:
            parts.append(f"try: {self.fix}")
        return "; ".join(parts)


class MissingExtraError(PeercellError):
    """A library of an optional extra is needed and not installed."""

    exit_code = 3

    def __init__(self, task: str, extra: str) -> None:
        super().__init__(
            f"{task} needs the extra [{extra}]",
            "its libraries are not installed in this environment",
            f"./peercell setup {extra}     or: pip install 'peercell[{extra}]'",
        )


class DeviceError(PeercellError):
    """A device with impossible settings, or asked for something that is not a number."""
