# The app and the API in one image: `docker build -t llmesr .`; docs/operations.md says how to run it.
FROM python:3.11-slim AS build
# Where torch comes from: the build without CUDA. For GPUs: --build-arg TORCH_INDEX=https://pypi.org/simple
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /source
RUN python -m venv /opt/llmesr
ENV PATH=/opt/llmesr/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.txt constraints.txt hashes.txt ./
RUN pip install --index-url "$TORCH_INDEX" --constraint constraints.txt "$(grep '^torch==' requirements.txt)" \
    && if [ "$(uname -m)" = x86_64 ]; then pip install --require-hashes --no-deps --requirement hashes.txt; fi \
    && pip install --constraint constraints.txt --requirement requirements.txt
COPY pyproject.toml setup.py README.md app.py ./
COPY .streamlit/config.toml .streamlit/
COPY pages pages
COPY llmesr llmesr
# More than it needs, by the names in pyproject.toml: --build-arg EXTRAS=ray for the machines of a Ray cluster.
ARG EXTRAS=
RUN pip install --no-deps . \
    && if [ -n "$EXTRAS" ]; then pip install --constraint constraints.txt ".[$EXTRAS]"; fi

FROM python:3.11-slim
# libgomp1: the threads of torch and faiss.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1=* \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 llmesr \
    && install --directory --owner llmesr /artifacts \
    && echo 'PATH=/opt/llmesr/bin:$PATH' > /etc/profile.d/llmesr.sh
COPY --from=build /opt/llmesr /opt/llmesr
ENV PATH=/opt/llmesr/bin:$PATH LLMESR_ARTIFACTS=/artifacts PYTHONUNBUFFERED=1
USER 10001
WORKDIR /home/llmesr
VOLUME /artifacts
EXPOSE 8501 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=3)"]
ENTRYPOINT ["llmesr"]
# Who reaches it is decided by the port that is published, and by the proxy in front.
CMD ["app", "--host", "0.0.0.0", "--without-sign-in"]
