# The same commands on amd64 and arm64: every dependency has a wheel for both.
# BASE may name a mirror, or the same image by its digest.
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
# "run", or "gpu" for NVIDIA cards.
ARG REQUIREMENTS=run
# Known in this stage only. An index that asks for a password belongs into the secret "pip", a pip.conf.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/velum
COPY requirements requirements
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /opt/velum/bin/pip install --require-hashes --requirement "requirements/${REQUIREMENTS}.txt"
COPY LICENSE README.md pyproject.toml ./
COPY src src
RUN /opt/velum/bin/pip install --no-deps --no-index --no-build-isolation . \
    && /opt/velum/bin/pip uninstall --yes editables hatchling pathspec pluggy trove-classifiers
# The model for faces is part of the image: nothing is fetched when it runs.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    VELUM_CACHE=/opt/velum/cache /opt/velum/bin/velum models pull

FROM ${BASE}
ARG REVISION=""
LABEL org.opencontainers.image.title="velum" \
      org.opencontainers.image.description="Finds what identifies people in pictures and hides it." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
# With this library, a JPEG keeps every coefficient that no region touches.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libturbojpeg0 \
    && rm -rf /var/lib/apt/lists/*
# Group 0 may write too: some clusters choose the user themselves, but always that group.
RUN useradd --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin velum \
    && install --directory --owner=10001 --group=0 --mode=0775 /data /jsonFiles /main/anonymized_video
COPY --from=build /opt/velum /opt/velum
# The two folders are those that the BMW Anonymization API mounts; the compose file here keeps both in /data.
# Nobody needs a key, as with the image that this one takes the place of; docs/operations.md says how to ask for keys.
ENV PATH=/opt/velum/bin:$PATH \
    HOME=/data \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    VELUM_CACHE=/opt/velum/cache \
    VELUM_OFFLINE=true \
    VELUM_REMOTE_PRIVATE=true \
    VELUM_ACCESS_REQUIRED=false \
    VELUM_BMW_FOLDER=/jsonFiles \
    VELUM_BMW_VIDEOS=/main/anonymized_video
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 4343
STOPSIGNAL SIGTERM
# Asked without a proxy, whatever the environment says of one.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-Ic", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 4343, timeout=4); c.request('GET', '/health/live'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["velum"]
CMD ["serve", "--host", "0.0.0.0", "--port", "4343"]
