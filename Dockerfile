# The service, with a model in /model:
#     docker build -t seqrec .
#     docker run -p 8000:8000 -v ./runs/shop:/model:ro seqrec
FROM python:3.12-slim

WORKDIR /seqrec
COPY . .
# The CPU build of torch; for a GPU, leave the index out, and run with --gpus all.
RUN pip install --no-cache-dir -c constraints.txt --extra-index-url https://download.pytorch.org/whl/cpu ".[serve]" \
    && useradd --create-home service
USER service
WORKDIR /home/service
ENV HF_HUB_OFFLINE=1

EXPOSE 8000
HEALTHCHECK --start-period=60s --interval=10s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/ready', timeout=3)"]
# SIGTERM, which `docker stop` sends, lets requests under way end.
ENTRYPOINT ["seqrec", "serve", "--model", "/model", "--host", "0.0.0.0"]
CMD ["--num_threads", "1"]
