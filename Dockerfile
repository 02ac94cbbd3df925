# Images of peercell, smallest first:
#   docker build --target agent -t peercell-agent .     hosts peers: traders, prosumers, voltage agents
#   docker build --target grid  -t peercell-grid .      the same with SciPy, for networks of any size
#   docker build --target tools -t peercell-tools .     for people: compile networks, simulate, plot
#   docker build --target test  -t peercell-test .      runs the tests
# BASE is any image with Python 3.11 and its venv. In all of them user 10001 works on a root that may
# be read-only, and writes below /var/lib/peercell. No image has an init of its own: run it with
# `docker run --init`, or `init: true` in a compose file. Stages stand in the order in which they are
# needed: a builder without BuildKit makes all that come before the one that is asked for.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS pip
RUN python -m venv /opt/pip && python -m venv --without-pip /opt/venv \
  && echo /opt/peercell/src > "$(echo /opt/venv/lib/python3*/site-packages)/peercell.pth"
COPY requirements /opt/requirements

# What is installed is what the locks say, by hash; pip itself stays behind.
FROM pip AS agent-packages
RUN /opt/pip/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --no-deps \
    --require-hashes --requirement /opt/requirements/agent.lock
# Tests and headers of libraries are of no use here. Byte code is, since nobody could write it later.
RUN cd /opt/venv/lib/python3*/site-packages && find . -name '*.pyi' -delete \
  && find . -type d \( -name tests -o -name include \) -prune -exec rm -rf {} + \
  && python -m compileall -q .

FROM ${BASE} AS code
COPY agents /opt/peercell/agents
COPY grid /opt/peercell/grid
COPY configs /opt/peercell/configs
COPY src /opt/peercell/src
COPY broker /opt/peercell/broker
RUN python -m compileall -q /opt/peercell && install -d /opt/peercell/bin \
  && printf '#!/opt/venv/bin/python -P\nfrom peercell.broker.cli import main\n\nmain()\n' > /opt/peercell/bin/peercell \
  && chmod 755 /opt/peercell/bin/peercell

FROM ${BASE} AS common
ENV PATH=/opt/venv/bin:/opt/peercell/bin:$PATH PYTHONUNBUFFERED=1 OPENBLAS_NUM_THREADS=1 \
  HOME=/var/lib/peercell PEERCELL_HOME=/var/lib/peercell
RUN install -d -m 0700 -o 10001 -g 10001 /var/lib/peercell
COPY --from=code /opt/peercell /opt/peercell
USER 10001:10001
WORKDIR /opt/peercell
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-P", "-m", "peercell"]
CMD ["--help"]

# A host of peers lives while its supervisor says so in a file; to read that loads next to nothing.
FROM common AS host
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
  CMD ["python", "-P", "-m", "peercell.broker.hosting.pulse", "ready"]

FROM host AS agent
COPY --from=agent-packages /opt/venv /opt/venv

FROM agent-packages AS grid-packages
RUN /opt/pip/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-deps \
    --require-hashes --requirement /opt/requirements/core.lock

FROM host AS grid
COPY --from=grid-packages /opt/venv /opt/venv

FROM grid-packages AS tools-packages
RUN for extra in grid plot sim; do \
    /opt/pip/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-deps \
      --require-hashes --requirement "/opt/requirements/$extra.lock" || exit; done

FROM common AS tools
COPY --from=tools-packages /opt/venv /opt/venv
WORKDIR /var/lib/peercell

FROM pip AS test
RUN /opt/pip/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-deps \
    --require-hashes --requirement /opt/requirements/dev.lock
COPY . /opt/peercell
RUN install -d -o 10001 -g 10001 /home/peercell
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 HOME=/home/peercell
USER 10001:10001
WORKDIR /opt/peercell
ENTRYPOINT ["python", "-m", "pytest", "-p", "no:cacheprovider"]
