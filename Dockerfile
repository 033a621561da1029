# One process, one volume, no root. Build: docker build -t spiritsafe:0.1.0 .
FROM python:3.13.9-slim-trixie AS build
WORKDIR /build
RUN python -m venv /opt/spiritsafe
COPY requirements/run.txt requirements/run.txt
RUN /opt/spiritsafe/bin/pip install --no-cache-dir --require-hashes --only-binary :all: \
    -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY proxy proxy
COPY distill distill
COPY storage storage
RUN /opt/spiritsafe/bin/pip install --no-cache-dir --no-deps --no-build-isolation .
COPY deploy/probe.py /opt/spiritsafe/probe.py

FROM python:3.13.9-slim-trixie
COPY --from=build /opt/spiritsafe /opt/spiritsafe
RUN install -d -o 10001 -g 10001 -m 0700 /data
# The root file system may be read-only: what is temporary goes beside the recordings.
ENV PATH=/opt/spiritsafe/bin:$PATH PYTHONDONTWRITEBYTECODE=1 TMPDIR=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8787
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s \
    CMD ["/opt/spiritsafe/bin/python", "-I", "/opt/spiritsafe/probe.py", "/healthz"]
# -I: neither PYTHONPATH nor the working directory can add code. A container's loopback
# reaches nobody, so it listens on all addresses: publish the port with care.
ENTRYPOINT ["/opt/spiritsafe/bin/python", "-I", "/opt/spiritsafe/bin/spiritsafe"]
CMD ["serve", "--listen", "0.0.0.0:8787", "--db", "/data/spiritsafe.db"]
