"""What became of all messages of a simulated cell."""

from msgspec import Struct


class Accounts(Struct, frozen=True, kw_only=True):
    """What became of all messages: sent + duplicated = applied + dropped + in_flight, exactly.

    Parameters
    ----------
    sent, duplicated : by roles, and copies that the network made
    applied : heard by a role
    dropped : gone, by reason
    in_flight : under way
    """

    sent: int
    duplicated: int
    applied: int
    dropped: dict[str, int]
    in_flight: int

    @property
    def unaccounted(self) -> int:
        """By how many messages the counts contradict each other; not 0 means a defect."""
        gone = self.applied + sum(self.dropped.values()) + self.in_flight
        return self.sent + self.duplicated - gone
