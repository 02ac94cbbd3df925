"""What several commands take in the same way: which cell, which of its peers, when."""

import click

from peercell.broker.terminal.params import time

cell_option = click.option("--cell", help="Name of the running cell; the only one when not given.")

lab_option = click.option(
    "--lab", is_flag=True, help="Let people break it without saying until when."
)

time_option = click.option(
    "--at",
    type=time,
    metavar="TIME",
    help="Local time of the profiles, 2016-05-28T12:00; nominal powers when not given.",
)

# A peer, a pattern such as 'mg1.*', role=prosumer, mg=1 or all; commas join, ! takes out.
selector_argument = click.argument("peers", nargs=-1, metavar="[PEERS]...")
