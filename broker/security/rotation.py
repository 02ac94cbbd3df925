"""How a peer goes over to new keys while it runs, once the operator has admitted them.

The new keys lie beside the old ones. Once its own admission names them, it listens with both, at
two ports, and tells the others; then it speaks with the new ones; then it closes the first port.
What is on its way meanwhile is heard under the old keys, which count until the overlap ends.
"""

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from peercell.agents.admission import Admission
from peercell.agents.membership_messages import ChangeKeys, KeyStep
from peercell.broker.addresses import endpoint_at
from peercell.broker.inbound import Inbound
from peercell.broker.outbound import Outbound
from peercell.broker.security.identity import (
    PUBLIC,
    SECRET,
    Identity,
    KeyFileError,
    load_identity,
    load_or_make_identity,
    save_public,
)
from peercell.broker.security.keyring import NEXT
from peercell.broker.sockets import LinkKeys

log = logging.getLogger(__name__)


class PeerKeyFile:
    """The keys of a peer at its host, of now and of next.

    Parameters
    ----------
    path : file of the keys, which are made if there are none
    peer : id
    admission : newest that is known of it; the next keys are taken at once where it names them

    Attributes
    ----------
    own : what the peer signs of itself with
    spoken : what it signs with for others, and the keys of its links
    """

    def __init__(self, path: Path, peer: str, admission: Admission | None) -> None:
        # Below the folder of a cell there may be a link to where the operator keeps the keys.
        self._path = path.resolve()
        self.own = self.spoken = load_or_make_identity(self._path, peer)
        if admission is not None and self.follow(admission):
            self.speak()

    @property
    def link_keys(self) -> LinkKeys:
        """The keys of links, as the sockets want them."""
        return LinkKeys(self.spoken.curve_public, self.spoken.curve_secret)

    def sign(self, message: bytes) -> bytes:
        """Sign what the peer says of itself."""
        return self.own.sign(message)

    def sign_spoken(self, message: bytes) -> bytes:
        """Sign what the peer says to others."""
        return self.spoken.sign(message)

    def follow(self, admission: Admission) -> bool:
        """Take the next keys as one's own if an admission names them; return whether it does."""
        newest = admission.keys[0]
        following = self._path.with_name(f"{self._path.stem}{NEXT}{SECRET}")
        if admission.revoked or newest.curve == self.own.curve_public or not following.exists():
            return False
        try:
            found = load_identity(following)
        except KeyFileError as error:
            log.warning("the next keys cannot be used: %s", error)
            return False
        if (found.curve_public, found.public.signing) != (newest.curve, newest.signing):
            return False
        self._take_over(following, found)
        return True

    def speak(self) -> None:
        """Speak with the newest keys from now on."""
        self.spoken = self.own

    def _take_over(self, following: Path, found: Identity) -> None:
        """Put the next keys in the place of those before, so that a restart finds them."""
        following.replace(self._path)
        with contextlib.suppress(OSError):
            following.with_suffix(PUBLIC).unlink(missing_ok=True)
            save_public(self._path.with_suffix(PUBLIC), found.public)
        self.own = found


class KeyChange:
    """The steps of a change of keys at a host.

    Parameters
    ----------
    file : keys of its one peer
    links : ends of its links
    advertise : endpoint that it is known by; "" for where it listens
    command : lets the peer hear a request
    """

    def __init__(
        self,
        file: PeerKeyFile,
        links: tuple[Inbound, Outbound],
        advertise: str,
        command: Callable[[ChangeKeys], None],
    ) -> None:
        self._file = file
        self._inbound, self._outbound = links
        self._advertise = advertise
        self._command = command
        self._endpoint = ""

    def go_on(self, step: KeyStep, admission: Admission | None) -> None:
        """Do a step.

        Parameters
        ----------
        step : which
        admission : newest one of the peer
        """
        match step:
            case KeyStep.TAKE if admission is not None and self._file.follow(admission):
                self._listen_also()
            case KeyStep.SPEAK if self._endpoint:
                self._file.speak()
                log.info("speaks with the new keys")
                self._outbound.relink(self._file.link_keys)
            case KeyStep.END if self._endpoint:
                self._inbound.listen_only(self._endpoint)
            case _:
                pass

    def _listen_also(self) -> None:
        """Listen with the new keys too, and let the peer tell the others."""
        own = self._file.own
        self._endpoint = self._inbound.listen_also(LinkKeys(own.curve_public, own.curve_secret))
        log.info("goes over to the keys %s, at %s", own.public.fingerprint, self._endpoint)
        place = self._as_known(self._endpoint)
        self._command(ChangeKeys(own.public.signing, own.curve_public, place))

    def _as_known(self, endpoint: str) -> str:
        """Return an endpoint of this host with the address that others know."""
        host = urlsplit(self._advertise).hostname
        return endpoint_at((host, urlsplit(endpoint).port or 0)) if host else endpoint
