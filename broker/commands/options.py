"""What several commands take in the same way: which cell, and which of its peers."""

import click

cell_option = click.option("--cell", help="Name of the running cell; the only one when not given.")

lab_option = click.option(
    "--lab", is_flag=True, help="Let people break it without saying until when."
)

# A peer, a pattern such as 'mg1.*', role=prosumer, mg=1 or all; commas join, ! takes out.
selector_argument = click.argument("peers", nargs=-1, metavar="[PEERS]...")
