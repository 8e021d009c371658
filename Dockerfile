# Two images of one Dockerfile:
#   docker build --target classify .   API, workers and scheduler; no torch, transformers or faiss
#   docker build --target retrain .    the same and what a retraining needs
#
# Both install under the constraints of requirements.lock. The ARGs below are pip's own variables for a
# package index of yours; --build-arg PIP_EXTRA_INDEX_URL=... with the index of torch's CPU builds keeps some
# gigabytes of GPU libraries out of the retrain image. They stay in the build stages, not in the images.

FROM python:3.11-slim AS base
ENV PATH=/opt/pingti/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PINGTI_HOME=/var/lib/pingti \
    NUMBA_CACHE_DIR=/var/cache/pingti
# A named volume that is mounted over the workspace takes this owner with it.
RUN useradd --uid 10001 --user-group --create-home pingti \
    && install --directory --owner=pingti --group=pingti /var/lib/pingti /var/cache/pingti

FROM base AS venv
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_TRUSTED_HOST
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/pingti
WORKDIR /src
# Without the packages themselves: a change of the source then reuses the layer of the dependencies.
COPY pyproject.toml README.md LICENSE requirements.lock ./

FROM venv AS classify-venv
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_TRUSTED_HOST
RUN pip install --constraint requirements.lock '.[service]'
# More extras, such as s3, otel, or transformer for students of that kind; several as s3,otel.
ARG EXTRAS
RUN [ -z "$EXTRAS" ] || pip install --constraint requirements.lock ".[$EXTRAS]"
COPY . .
RUN pip install --constraint requirements.lock --no-deps --force-reinstall .

FROM venv AS retrain-venv
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_TRUSTED_HOST
# torch first, so that nothing else chooses its build.
RUN pip install --constraint requirements.lock torch
RUN pip install --constraint requirements.lock '.[service,teacher]'
ARG EXTRAS
RUN [ -z "$EXTRAS" ] || pip install --constraint requirements.lock ".[$EXTRAS]"
COPY . .
RUN pip install --constraint requirements.lock --no-deps --force-reinstall .

FROM base AS retrain
# Teachers named as on the hub are kept in the workspace's volume.
ENV HF_HOME=/var/lib/pingti/huggingface
COPY --from=retrain-venv /opt/pingti /opt/pingti
USER pingti
WORKDIR /var/lib/pingti
# The kernels compiled beforehand; a container on another kind of CPU compiles its own.
RUN python -P -c "import textcnn.student"
CMD ["python", "-P", "-m", "queue_worker.worker", "--queue", "retrain"]

# Last, hence what a build without --target makes.
FROM base AS classify
COPY --from=classify-venv /opt/pingti /opt/pingti
# SageMaker starts a container by the command "serve".
RUN printf '#!/bin/sh\nexec python -P -m api.sagemaker\n' > /opt/pingti/bin/serve \
    && chmod 755 /opt/pingti/bin/serve
USER pingti
WORKDIR /var/lib/pingti
RUN python -P -c "import textcnn.student"
CMD ["python", "-P", "-m", "api.rest.server"]
