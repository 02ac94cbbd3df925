"""How anybody with a browser or a script sees a cell: its status over HTTP, and nothing to press.

/           as `peercell status` prints it
/status     the same as JSON
/metrics    for Prometheus
/health     200 once the cell has converged, and as long as it stays so; 503 while not
"""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple

from peercell import __version__
from peercell.agents.errors import PeercellError
from peercell.broker.status.picture import Picture
from peercell.broker.status.text import status_text
from peercell.broker.terminal.watch import json_line

TEXT, JSON = "text/plain; charset=utf-8", "application/json"
# A client that says nothing holds a thread for so long, s.
SILENCE_S = 5.0


class Shown(NamedTuple):
    """What is shown at a path."""

    status: HTTPStatus
    kind: str
    body: bytes


_NOTHING = Shown(HTTPStatus.SERVICE_UNAVAILABLE, TEXT, b"nothing was heard of the cell yet\n")


class StatusPage:
    """Serves what was shown last, from threads of its own; they touch nothing but finished bytes.

    Parameters
    ----------
    address, port : numeric, where to serve

    Raises
    ------
    PeercellError : the address cannot be used.
    """

    def __init__(self, address: str, port: int) -> None:
        self._shown: Mapping[str, Shown] = dict.fromkeys(("/", "/status", "/metrics"), _NOTHING)
        page = self

        class Request(BaseHTTPRequestHandler):
            """One request."""

            timeout = SILENCE_S
            server_version, sys_version = f"peercell/{__version__}", ""

            def do_GET(self) -> None:
                """Answer with what is shown."""
                shown = page.at(self.path)
                self.send_response(shown.status)
                self.send_header("Content-Type", shown.kind)
                self.send_header("Content-Length", str(len(shown.body)))
                self.send_header("Cache-Control", "no-store")
                self.send_header("X-Content-Type-Options", "nosniff")
                self.end_headers()
                self.wfile.write(shown.body)

            def log_message(self, *_: object) -> None:
                """Leave the log to the cell."""

        try:
            self._server = ThreadingHTTPServer((address, port), Request)
        except OSError as error:
            raise PeercellError(
                f"cannot serve the status at {address}:{port}", str(error), "--http 127.0.0.1:8080"
            ) from None
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self) -> int:
        """Where it is served."""
        return int(self._server.server_address[1])

    def at(self, path: str) -> Shown:
        """Return what is shown at a path."""
        missing = Shown(HTTPStatus.NOT_FOUND, TEXT, b"/  /status  /metrics  /health\n")
        return self._shown.get(path.partition("?")[0], missing)

    def show(self, seen: Picture) -> None:
        """Show a picture from now on."""
        healthy = HTTPStatus.OK if seen.converged else HTTPStatus.SERVICE_UNAVAILABLE
        unmet = "\n".join(seen.unmet) or "converged"
        self._shown = {
            "/": _text(status_text(seen)),
            "/status": Shown(HTTPStatus.OK, JSON, f"{json_line(seen)}\n".encode()),
            "/metrics": _text("\n".join(metrics(seen))),
            "/health": Shown(healthy, TEXT, f"{unmet}\n".encode()),
        }

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()


def _text(text: str) -> Shown:
    return Shown(HTTPStatus.OK, TEXT, f"{text}\n".encode())


def metrics(seen: Picture) -> Iterator[str]:
    """Yield the lines of a picture in the text format of Prometheus."""
    yield from _gauge("build_info", "Version of peercell.", {f'version="{__version__}"': 1})
    yield from _gauge("converged", "1 when the cell has converged.", {"": int(seen.converged)})
    by_state = {f'state="{state}"': count for state, count in seen.peers.items()}
    yield from _gauge("peers", "Peers in each state.", by_state)
    yield from _gauge("restarts", "Restarts of peers that were seen.", {"": seen.totals.restarts})
    yield from _gauge("settled", "Intervals settled by all members.", {"": seen.totals.settled})
    yield from _gauge("fallbacks", "Plans without certificate.", {"": seen.totals.fallbacks})
    each = {f'member="{member.member}"': member for member in seen.members}
    yield from _gauge("rounds", "Rounds of the epoch.", {k: m.rounds for k, m in each.items()})
    prices = {k: m.price_eur_per_kwh for k, m in each.items() if m.price_eur_per_kwh is not None}
    yield from _gauge("price_eur_per_kwh", "Price of each member.", prices)
    if seen.settled is not None:
        yield from _gauge("gap_eur", "Distance from the best plan.", {"": seen.settled.gap_eur})
        yield from _gauge("traded_kwh", "Over the links.", {"": seen.settled.traded_kwh})
    if seen.grid is not None:
        volts = {'bus="lowest"': seen.grid.v_min_pu, 'bus="highest"': seen.grid.v_max_pu}
        yield from _gauge("bus_voltage_pu", "Extremes of the cell.", volts)
        broken = {"": len(seen.grid.violations)}
        yield from _gauge("violations", "Limits of the grid that are broken.", broken)


def _gauge(name: str, told: str, values: Mapping[str, float]) -> Iterator[str]:
    """Yield a metric: its help, its type, and a line for each set of labels."""
    yield f"# HELP peercell_{name} {told}"
    yield f"# TYPE peercell_{name} gauge"
    for labels, value in values.items():
        yield f"peercell_{name}{{{labels}}} {value:g}" if labels else f"peercell_{name} {value:g}"
