# Two images, and one more for clusters that run Ray:
#   docker build -t gprune-vllm:0.2.0 .                   vLLM's CUDA image with the plugin in it
#   docker build -t gprune-vllm:0.2.0-cpu --target cpu .  the demo model, served anywhere
#   docker build -t gprune-vllm:0.2.0-ray --target ray .  the first, with Ray
# A server needs more shared memory than Docker gives a container:
#   docker run --shm-size=1g --publish 8000:8000 gprune-vllm:0.2.0-cpu
# A tag can be moved. To build on exactly the same base for ever, name it by its digest, which
# `docker buildx imagetools inspect vllm/vllm-openai:v0.32.0` prints:
#   --build-arg VLLM_IMAGE=vllm/vllm-openai:v0.32.0@sha256:...
ARG VLLM_IMAGE=vllm/vllm-openai:v0.32.0
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# It is mounted, and no image of its own.
# hadolint ignore=DL3049
FROM ${PYTHON_IMAGE} AS wheel
WORKDIR /source
COPY scripts/locks/build.txt ./
RUN pip install --no-cache-dir --no-deps --require-hashes --requirement build.txt
COPY pyproject.toml README.md LICENSE ./
COPY gprune_vllm gprune_vllm
COPY server server
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

FROM ${PYTHON_IMAGE} AS cpu-environment
ENV PIP_NO_CACHE_DIR=1
WORKDIR /source
RUN python -m venv /opt/gprune
COPY scripts/dependencies.sh scripts/torchvision_shim.py scripts/vllm_distribution.py scripts/
COPY scripts/locks/cpu.txt scripts/locks/cpu.txt
# All is compiled, which the user that serves could not keep, but for a test of torch's in the syntax of Python 3.12.
RUN scripts/dependencies.sh /opt/gprune/bin/python cpu \
    && /opt/gprune/bin/python -m compileall -q -j 0 -x py312 /opt/gprune/lib

FROM ${PYTHON_IMAGE} AS cpu
# vLLM's CPU kernels are linked against libnuma, and its sampler is compiled at the first request for log-probabilities.
# Versions are Debian's to choose, with its security updates.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ libnuma1 tini \
    && rm -rf /var/lib/apt/lists/* \
    && mkdir --mode=1777 /cache
COPY --from=cpu-environment /opt/gprune /opt/gprune
COPY evaluation/demo/models/llava /opt/gprune/demo-model
# What changes with this project's code comes last: the layers above are kept.
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    /opt/gprune/bin/pip install --no-cache-dir --no-deps /wheels/*.whl
ARG VERSION=0.2.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="gprune-vllm" \
      org.opencontainers.image.description="vLLM with visual tokens pruned per request (CPU, demo model)" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Any UID can run it: what is written below ~ goes to a world-writable /cache, and a UID that /etc/passwd does not know
# still has a name, which torch asks for. /cache and /tmp are all that is written to.
ENV PATH="/opt/gprune/bin:${PATH}" \
    HOME=/cache \
    USER=gprune \
    TORCHINDUCTOR_CACHE_DIR=/cache/torchinductor \
    VLLM_PLUGINS=gprune \
    VLLM_CPU_KVCACHE_SPACE=1 \
    VLLM_NO_USAGE_STATS=1
WORKDIR /cache
VOLUME /cache
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=5m \
    CMD ["python3", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=4); c.request('GET', '/health'); exit(c.getresponse().status != 200)"]
# As PID 1 a server would not see SIGTERM until Python handles it, and would have to bury processes of others.
ENTRYPOINT ["tini", "--", "gprune-serve"]
CMD ["/opt/gprune/demo-model", "--served-model-name", "gprune-demo", "--enforce-eager"]

FROM ${VLLM_IMAGE} AS plugin
# The version is Ubuntu's to choose, with its security updates.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/*
# --no-deps leaves vLLM's own packages as they are; the dry run then fails if one that the plugin needs is not there.
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    uv pip install --system --no-cache --no-deps /wheels/*.whl \
    && uv pip install --system --no-cache --no-index --dry-run gprune-vllm \
    && mkdir --mode=1777 /cache
ARG VERSION=0.2.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="gprune-vllm" \
      org.opencontainers.image.description="vLLM with visual tokens pruned per request" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# As in the CPU image. VLLM_PLUGINS names all plugins that load: add others, such as LoRA resolvers, after a comma.
ENV HOME=/cache \
    USER=gprune \
    TORCHINDUCTOR_CACHE_DIR=/cache/torchinductor \
    VLLM_PLUGINS=gprune \
    VLLM_NO_USAGE_STATS=1
WORKDIR /cache
VOLUME /cache
EXPOSE 8000
# The start includes fetching a model and compiling it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30m \
    CMD ["python3", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=4); c.request('GET', '/health'); exit(c.getresponse().status != 200)"]
ENTRYPOINT ["tini", "--", "vllm", "serve"]

FROM plugin AS ray
# vLLM's image comes without Ray.
RUN uv pip install --system --no-cache 'ray[default]==2.60.0'
USER 10001:10001

FROM plugin AS cuda
USER 10001:10001
