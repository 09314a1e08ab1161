# One image for every role: VA_ROLES says what a container does. It holds no database server and no
# development tools, so both database addresses must be given. docs/fleet.md tells how to run a fleet of it.
#
# The base has an exact tag. To pin its very bytes, add its digest here and below: name:tag@sha256:…
FROM python:3.13.14-slim-trixie AS builder

# Version 26.1 was the first pip that takes hashes from constraints.
RUN pip install --no-cache-dir pip==26.3 && python -m venv --without-pip /venv

# What running needs, in the versions and with the hashes of the lock, which holds the development tools too.
WORKDIR /build
COPY pyproject.toml requirements.lock ./
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
print(*project['dependencies'], *project['optional-dependencies']['onnx'], sep='\n')" > runtime.txt \
    && pip --python /venv/bin/python install --no-cache-dir --only-binary :all: --require-hashes \
        --constraint requirements.lock --requirement runtime.txt

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
