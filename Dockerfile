# The suite in an image, from the same constraints as `make train`. torch's wheels bring CUDA's libraries with them, so
# one image serves CPUs and GPUs alike:
#
#   docker build -t mtl_seg_depth .
#   docker run --rm -v "$PWD/work:/work" mtl_seg_depth train.py model=branched loss=berhu
#   docker run --rm --gpus all --shm-size 1g -v "$PWD/work:/work" mtl_seg_depth train.py device=cuda
#
# Data sets, runs and the tracking database are written to /work.
FROM python:3.11-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /suite
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN pip install --no-cache-dir --constraint constraints.txt --editable '.[export,cluster,dashboard,data,video]'
COPY . .

RUN useradd --create-home suite && mkdir /work && chown suite /work
USER suite
ENV MTL_SEG_DEPTH_ROOT=/work
VOLUME /work
ENTRYPOINT ["python"]
CMD ["train.py", "--help"]
