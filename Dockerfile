# syntax=docker/dockerfile:1
# API and worker from one image: `serve` (the default) or `worker`. Everything in it is locked by hash.
FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1
WORKDIR /src
COPY requirements/installer.txt requirements/build.txt requirements/runtime.txt requirements/
RUN pip install --require-hashes -r requirements/installer.txt \
 && uv venv /opt/tensorfleet \
 && uv venv /opt/build \
 && uv pip sync --python /opt/build/bin/python --require-hashes requirements/build.txt \
 && uv pip sync --python /opt/tensorfleet/bin/python --require-hashes requirements/runtime.txt
COPY pyproject.toml README.md ./
COPY app app
COPY workers workers
RUN uv build --wheel --no-build-isolation --python /opt/build/bin/python --out-dir /tmp/wheel \
 && uv pip install --python /opt/tensorfleet/bin/python --no-deps --no-index /tmp/wheel/*.whl

FROM python:3.11-slim-bookworm
RUN useradd --system --create-home --uid 10001 --shell /usr/sbin/nologin tensorfleet \
 && install -d -o tensorfleet -g tensorfleet /data
COPY --from=build /opt/tensorfleet /opt/tensorfleet
ENV PATH=/opt/tensorfleet/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DATA_DIR=/data
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8084
# The image listens on loopback like everything else. To publish the port set HOST=0.0.0.0 and ALLOW_OPEN_ACCESS=yes,
# and protect it: there are no API keys yet, and whoever reaches it runs code (SECURITY.md).
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ.get('PORT') or 8084}/healthz\", timeout=2)"]
ENTRYPOINT ["tensorfleet"]
CMD ["serve"]
