"""What peers and the grid service say to each other: requests first, replies after.

Every request has a `seq`, which its sender counts upward; the reply repeats it. Of two writes to
the same thing the one with the higher `seq` holds, in whatever order they arrive, so a lost message
may be sent again and a late one does no harm. Every reply has a `Stamp`: the state it speaks of.
The answer to a request is the reply that the request names, or a `GridRefusal`.
"""

from typing import Annotated

from msgspec import Meta

from peercell.agents.grid_parts import (
    CASES_MAX,
    ELEMENTS_MAX,
    AssetFacts,
    BranchFacts,
    BusFacts,
    Case,
    Correction,
    CorrectionList,
    Count,
    CouplingFacts,
    DeadBand,
    DeadBus,
    Digest,
    Disturbance,
    LocalTime,
    MicrogridFacts,
    Name,
    Names,
    Newest,
    Outcome,
    Power,
    Reading,
    RefusalCode,
    RefusalFacts,
    SensitivityModel,
    Seq,
    SetPoint,
    SetPointList,
    Slopes,
    SourceState,
    Stamp,
    Stored,
    Switching,
    SwitchPosition,
    Text,
    TieFacts,
    View,
)
from peercell.agents.messages import Message

# Requests: the first contact, then writes, then reads.


class GridHello(Message, frozen=True):
    """Who am I to you; answered by `GridWelcome`."""

    seq: Seq


class SetPoints(Message, frozen=True):
    """Set own assets, and show a view of the state after; answered by `StateReport`."""

    seq: Seq
    set_points: SetPointList
    view: View | None = None


class Corrections(Message, frozen=True):
    """Correct assets that one controls, and show a view of the state after; `StateReport`.

    Sent again now and then even when nothing changes: an inverter that hears nothing for 30 s
    forgets its correction and follows its own droop.
    """

    seq: Seq
    corrections: CorrectionList
    view: View | None = None


class SoftOpenPointOrder(Message, frozen=True):
    """Set a soft open point: P out of its first side, Q out of both; `StateReport`.

    The second side's P follows from the first's and the losses of the converter.
    """

    seq: Seq
    soft_open_point: Name
    first_kw: Power
    first_kvar: Power
    second_kvar: Power
    view: View | None = None


class SwitchingOrder(Message, frozen=True):
    """Change what is connected; operators only; `StateReport`."""

    seq: Seq
    switching: Switching
    view: View | None = None


class DisturbanceOrder(Message, frozen=True):
    """Disturb assets, in place of what befell them under that name; operators only; `StateReport`.

    What their owners and controllers set goes on below it, and holds again when it is over.
    """

    seq: Seq
    disturbance: Disturbance
    view: View | None = None


class TimeOrder(Message, frozen=True):
    """Move the cell to a time of its profiles, never back; operators only; `StateReport`."""

    seq: Seq
    at: LocalTime
    view: View | None = None


class StateQuery(Message, frozen=True):
    """Show a view of the state; `StateReport`."""

    seq: Seq
    view: View


class SensitivityQuery(Message, frozen=True):
    """How voltages answer to power injected at `bus`; `SensitivityReport`."""

    seq: Seq
    bus: Name
    buses: Names
    model: SensitivityModel = SensitivityModel.EXACT


class TopologyQuery(Message, frozen=True):
    """What is connected to what; `TopologyReport`."""

    seq: Seq


class WhatIfQuery(Message, frozen=True):
    """Show a view of the states after each of some changes, which are not made; `WhatIfReport`."""

    seq: Seq
    cases: Annotated[tuple[Case, ...], Meta(min_length=1, max_length=CASES_MAX)]
    view: View = View()


class Subscription(Message, frozen=True):
    """Show a view now, whenever it moves beyond the dead band, and on long silence.

    Each `StateReport` repeats the `seq` of the subscription. A peer has one: a newer one replaces
    it, and a `view` of None ends it.
    """

    seq: Seq
    view: View | None
    dead_band: DeadBand = DeadBand()


class SnapshotQuery(Message, frozen=True):
    """Give me everything needed to make this state again; operators only; `GridSnapshot`."""

    seq: Seq


class RestoreOrder(Message, frozen=True):
    """Make the state of a snapshot again; operators only; `StateReport`.

    Revisions go on upward, and what peers wrote stays numbered as it was.
    """

    seq: Seq
    snapshot: "GridSnapshot"
    view: View | None = None


class StatsQuery(Message, frozen=True):
    """How much work was done; operators only; `GridStats`."""

    seq: Seq


# Replies.


class GridWelcome(Message, frozen=True):
    """Which cell this is, what the caller may set and read, and from which `seq` it goes on.

    `digest` is the content hash of the cell; `seq_newest` is the highest that the service holds
    from this peer, so a restarted one counts on from there.
    """

    seq: Seq
    stamp: Stamp
    cell: Name
    digest: Digest
    seq_newest: Seq
    assets: Annotated[tuple[AssetFacts, ...], Meta(max_length=ELEMENTS_MAX)]
    buses: Annotated[tuple[BusFacts, ...], Meta(max_length=ELEMENTS_MAX)]
    microgrids: Names
    sees_all: bool
    operates: bool


class StateReport(Message, frozen=True):
    """The state after every write that had arrived; `reading` is None where no view was asked."""

    seq: Seq
    stamp: Stamp
    reading: Reading | None = None


class GridRefusal(Message, frozen=True):
    """A request that changed nothing: what failed, why, what to try, and the facts."""

    seq: Seq
    stamp: Stamp
    code: RefusalCode
    what: Text
    why: Text = ""
    fix: Text = ""
    facts: RefusalFacts = RefusalFacts()


class SensitivityReport(Message, frozen=True):
    """pu per kW and per kvar at `buses` in the order asked, for an injection at `bus`."""

    seq: Seq
    stamp: Stamp
    bus: Name
    model: SensitivityModel
    per_kw: Slopes
    per_kvar: Slopes


class WhatIfReport(Message, frozen=True):
    """What each case would show, in the order asked."""

    seq: Seq
    stamp: Stamp
    outcomes: Annotated[tuple[Outcome, ...], Meta(max_length=CASES_MAX)]


class TopologyReport(Message, frozen=True):
    """The graph of the cell at a topology revision; R and X come from `SensitivityQuery`."""

    seq: Seq
    stamp: Stamp
    buses: Annotated[tuple[BusFacts, ...], Meta(max_length=ELEMENTS_MAX)]
    branches: Annotated[tuple[BranchFacts, ...], Meta(max_length=ELEMENTS_MAX)]
    switches: Annotated[tuple[SwitchPosition, ...], Meta(max_length=ELEMENTS_MAX)]
    sources: Annotated[tuple[SourceState, ...], Meta(max_length=ELEMENTS_MAX)]
    microgrids: Annotated[tuple[MicrogridFacts, ...], Meta(max_length=ELEMENTS_MAX)]
    couplings: Annotated[tuple[CouplingFacts, ...], Meta(max_length=ELEMENTS_MAX)]
    ties: Annotated[tuple[TieFacts, ...], Meta(max_length=ELEMENTS_MAX)]
    dead: Annotated[tuple[DeadBus, ...], Meta(max_length=ELEMENTS_MAX)]


class GridSnapshot(Message, frozen=True):
    """All that distinguishes the state from the cell file; equal snapshots give equal bits.

    `digest` is the content hash of the cell that it belongs to.
    """

    seq: Seq
    stamp: Stamp
    digest: Digest
    set_points: Annotated[tuple[SetPoint, ...], Meta(max_length=ELEMENTS_MAX)]
    switching: Switching
    newest: Annotated[tuple[Newest, ...], Meta(max_length=ELEMENTS_MAX)]
    corrections: Annotated[tuple[Correction, ...], Meta(max_length=ELEMENTS_MAX)] = ()
    primary: Annotated[tuple[Correction, ...], Meta(max_length=ELEMENTS_MAX)] = ()
    stored: Annotated[tuple[Stored, ...], Meta(max_length=ELEMENTS_MAX)] = ()
    disturbances: Annotated[tuple[Disturbance, ...], Meta(max_length=ELEMENTS_MAX)] = ()


class GridStats(Message, frozen=True):
    """Counted since the start of the service.

    `requests` were taken in, in `turns` of at most `turn_max`; `refusals` of them were refused,
    `busy` more were refused at the door, and `ignored` were no requests. `solves` counts solutions
    of the whole cell, `replays` the turns whose writes had to be tried one by one, `feeders` the
    topologies that were built, `pushes` the reports to subscribers.
    """

    seq: Seq
    stamp: Stamp
    requests: Count = 0
    turns: Count = 0
    turn_max: Count = 0
    refusals: Count = 0
    busy: Count = 0
    ignored: Count = 0
    solves: Count = 0
    replays: Count = 0
    feeders: Count = 0
    pushes: Count = 0


class GridRevision(Message, frozen=True):
    """A fact for the observers: the state changed, by so many writes, to this."""

    stamp: Stamp
    writes: Count
    refusals: Count
    reading: Reading


GridRequest = (
    GridHello
    | SetPoints
    | Corrections
    | SoftOpenPointOrder
    | SwitchingOrder
    | DisturbanceOrder
    | TimeOrder
    | RestoreOrder
    | StateQuery
    | SensitivityQuery
    | TopologyQuery
    | WhatIfQuery
    | Subscription
    | SnapshotQuery
    | StatsQuery
)
GridReply = (
    GridWelcome
    | StateReport
    | GridRefusal
    | SensitivityReport
    | TopologyReport
    | WhatIfReport
    | GridSnapshot
    | GridStats
)
