# The server. Build: docker build -t veriscope .   Run: see docs/deploy.md.
FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src src
RUN python -m venv /opt/veriscope && /opt/veriscope/bin/pip install --no-cache-dir '.[server]'

FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin veriscope \
    && install -d -o veriscope -g veriscope -m 700 /data
COPY --from=build /opt/veriscope /opt/veriscope
ENV PATH=/opt/veriscope/bin:$PATH PYTHONUNBUFFERED=1
USER veriscope
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
# Others can reach it, so it starts only with users in its database or with VERISCOPE_TOKEN set.
CMD ["veriscope", "serve", "--host", "0.0.0.0", "--data", "/data", "--no-browser"]
