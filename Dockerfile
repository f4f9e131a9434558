# For NVIDIA GPUs: the wheels of JAX bring CUDA along, the host its driver and the NVIDIA Container
# Toolkit.
#
#     docker build -t leed_jax .
#     docker run --rm --gpus all leed_jax doctor
#     docker run --rm --gpus all -v "$PWD:/work" leed_jax run --train.total-steps 1000000
#
# For a machine without a GPU: docker build --build-arg EXTRAS=logging -t leed_jax .
FROM python:3.12-slim

ARG EXTRAS=cuda,logging

# Results written into a mounted folder belong to this user.
ARG USER_ID=1000
RUN useradd --uid "$USER_ID" --create-home leed && install --directory --owner=leed /work

COPY pyproject.toml README.md LICENSE /src/
COPY leed_jax /src/leed_jax
RUN pip install --no-cache-dir "/src[$EXTRAS]"

USER $USER_ID
WORKDIR /work
# Compiled programs live as long as the container; mount a folder there to keep them.
ENV JAX_COMPILATION_CACHE_DIR=/home/leed/.cache/leed_jax/compilation
ENTRYPOINT ["leed"]
CMD ["--help"]
