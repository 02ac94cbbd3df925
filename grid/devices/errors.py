"""What can be wrong when devices act together."""

from peercell.agents.errors import PeercellError


class HuntingError(PeercellError):
    """Devices that answer to the voltage and drive each other on without coming to rest."""

    exit_code = 5
