"""What can be wrong with a device, each a type of its own."""

from peercell.agents.errors import PeercellError


class DeviceError(PeercellError):
    """A device with impossible settings, or asked for something that is not a number."""


class HuntingError(PeercellError):
    """Devices that answer to the voltage and drive each other on without coming to rest."""

    exit_code = 5
