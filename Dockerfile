# One image for every role: VA_ROLES says what a container does. docs/fleet.md tells how to run a fleet of it.
# Give both database addresses: a container loses what the embedded server writes into it.
#
# The base has an exact tag. To pin its very bytes, add its digest here and below: name:tag@sha256:…
FROM python:3.13.14-slim-trixie AS builder

RUN echo "pip==26.3 --hash=sha256:f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13" > /tmp/pip.txt \
    && pip install --no-cache-dir --only-binary :all: --require-hashes --requirement /tmp/pip.txt \
    && python -m venv --without-pip /venv

WORKDIR /build
COPY requirements.lock ./
RUN pip --python /venv/bin/python install --no-cache-dir --only-binary :all: --require-hashes \
        --requirement requirements.lock

COPY app /srv/app
RUN python -m compileall -q --invalidation-mode unchecked-hash /srv/app


FROM python:3.13.14-slim-trixie

LABEL org.opencontainers.image.title="videoanalysis" \
      org.opencontainers.image.description="Self-hosted video analysis: post a video and a detector, get every sampled frame's predictions exactly once" \
      org.opencontainers.image.licenses="Apache-2.0"

# Recordings and models are mounted here, read-only; nothing else needs a volume.
RUN mkdir -p /media /models \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin videoanalysis
COPY --from=builder /venv /venv
COPY --from=builder /srv /srv
COPY LICENSE /srv/

ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    UVICORN_PORT=8000 \
    VA_MEDIA_ROOT=/media \
    VA_MODEL_ROOT=/models

WORKDIR /srv
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM

# Alive, not ready: what finds a container unhealthy may replace it, and a process whose broker or database is
# away must stay, since its runs go on. Straight to the port, since urllib would ask a proxy.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['UVICORN_PORT']), timeout=3); c.request('GET', '/health/live'); sys.exit(c.getresponse().status != 200)"]

ENTRYPOINT ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--lifespan", "on", "--no-access-log", "--log-level", "warning", "--timeout-graceful-shutdown", "5"]
