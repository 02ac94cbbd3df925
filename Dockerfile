# Images of peercell. ./peercell makes the environment here as everywhere else, from the same locks.
#   docker build --target tools -t peercell-tools .     to use: power flow, cells, plots
#   docker build --target test  -t peercell-test .      to run the tests
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS setup
ENV PEERCELL_VENV=/opt/venv
WORKDIR /opt/peercell
COPY peercell ./
COPY requirements requirements
RUN ./peercell setup grid plot

FROM ${BASE} AS tools
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 HOME=/home/peercell
COPY --from=setup /opt/venv /opt/venv
COPY . /opt/peercell
RUN python -m compileall -q /opt/peercell/agents /opt/peercell/broker /opt/peercell/grid \
  && install -d -o 10001 -g 10001 /home/peercell
USER 10001:10001
WORKDIR /home/peercell
STOPSIGNAL SIGTERM
ENTRYPOINT ["peercell"]
CMD ["--help"]

FROM setup AS test
RUN ./peercell setup dev
COPY . /opt/peercell
RUN install -d -o 10001 -g 10001 /home/peercell
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 HOME=/home/peercell
USER 10001:10001
ENTRYPOINT ["pytest", "-p", "no:cacheprovider"]
