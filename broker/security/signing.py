"""Which kinds of message are signed, so that who said them can be proved to others later.

Links are authenticated, so this is for disputes: contracts, trades, meter readings, and orders to
the network. Records of the roster carry a signature of their own, since they are passed on.
"""

from collections.abc import Callable

import msgspec
from msgspec import Raw

from peercell.agents.grid_messages import (
    DisturbanceOrder,
    RestoreOrder,
    SoftOpenPointOrder,
    SwitchingOrder,
    TimeOrder,
)
from peercell.agents.trading.contract_messages import (
    Delivery,
    ProsumerOffer,
    Schedule,
    Settlement,
)
from peercell.agents.trading.messages import Confirmation, TraderSettled
from peercell.broker.wire import Envelope, Incoming, Outgoing, kind_of, messages_of, signed_bytes

SIGNED: frozenset[str] = frozenset(
    map(
        kind_of,
        messages_of(
            ProsumerOffer
            | Schedule
            | Confirmation
            | TraderSettled
            | Settlement
            | Delivery
            | SoftOpenPointOrder
            | SwitchingOrder
            | DisturbanceOrder
            | TimeOrder
            | RestoreOrder
        ),
    )
)
"""Names of the kinds that are refused without a good signature where links have keys."""


def signer(sign: Callable[[bytes], bytes]) -> Callable[[Outgoing], Outgoing | Incoming]:
    """Return what signs the envelopes of a peer whose kind is to be signed.

    Parameters
    ----------
    sign : signs bytes with the Ed25519 key of the peer
    """

    def signed(envelope: Outgoing) -> Outgoing | Incoming:
        if envelope.kind not in SIGNED:
            return envelope
        bare = Envelope(
            envelope.version,
            envelope.kind,
            envelope.src,
            envelope.dst,
            envelope.incarnation,
            envelope.seq,
            envelope.expires_s,
            Raw(msgspec.msgpack.encode(envelope.body)),
        )
        return msgspec.structs.replace(bare, signature=sign(signed_bytes(bare)))

    return signed
