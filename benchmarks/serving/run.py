"""Measure `seqrec serve` on this machine: requests per second at saturation, and latency at a steady rate.

    python benchmarks/serving/run.py --model runs/ml-1m

Client and service share the machine's cores, so the numbers at saturation are lower bounds. Each request is one history
of random items (`--length`), answered by a list of 10 without them.
"""

import argparse
import asyncio
import json
import os
import random
import re
import statistics
import time
from urllib.request import urlopen

import polars as pl
from running import HOST, service


def requests(item_ids: list[str], length: int, number: int = 512) -> list[bytes]:
    """Write requests as they are sent."""
    found = []
    for seed in range(number):
        history = random.Random(seed).sample(item_ids, min(length, len(item_ids)))
        body = json.dumps({"history": history, "k": 10}).encode()
        head = f"POST /recommend HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
        found.append(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return found


class Client:
    """One connection."""

    async def connect(self, port: int) -> None:
        """Open it."""
        self.reader, self.writer = await asyncio.open_connection(HOST, port)

    async def ask(self, request: bytes) -> float:
        """Send a request, read the answer, and return the seconds that it took."""
        begun = time.perf_counter()
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        length = re.search(rb"content-length: (\d+)", head.lower())
        assert length is not None
        await self.reader.readexactly(int(length[1]))
        return time.perf_counter() - begun


def cpu_seconds(port: int) -> float:
    """Return the processor time that the service has used."""
    with urlopen(f"http://{HOST}:{port}/metrics") as answer:
        found = re.search(r"^process_cpu_seconds_total (\S+)", answer.read().decode(), re.MULTILINE)
    assert found is not None
    return float(found[1])


async def saturate(port: int, bodies: list[bytes], connections: int, seconds: float) -> tuple[float, float]:
    """Ask without a pause on many connections; return answers per second, and processor seconds for each."""
    clients = [Client() for _ in range(connections)]
    await asyncio.gather(*(client.connect(port) for client in clients))

    async def ask_on(client: Client, number: int, end: float) -> int:
        answers = 0
        while time.perf_counter() < end:
            await client.ask(bodies[(number + answers) % len(bodies)])
            answers += 1
        return answers

    async def run(duration: float) -> tuple[float, float]:
        used, begun = cpu_seconds(port), time.perf_counter()
        counts = await asyncio.gather(*(ask_on(one, row * 7, begun + duration) for row, one in enumerate(clients)))
        return sum(counts) / (time.perf_counter() - begun), (cpu_seconds(port) - used) / sum(counts)

    await run(1.0)
    return await run(seconds)


async def steady(port: int, bodies: list[bytes], rate: float, seconds: float) -> list[float]:
    """Ask at a steady rate, whether or not earlier requests are answered, and return the seconds of each."""
    free: asyncio.Queue[Client] = asyncio.Queue()
    for _ in range(16):
        client = Client()
        await client.connect(port)
        await client.ask(bodies[0])
        free.put_nowait(client)
    times = []

    async def ask_once(number: int, due: float) -> None:
        client = await free.get()
        await client.ask(bodies[number % len(bodies)])
        times.append(time.perf_counter() - due)  # from when it was due: a client that falls behind hides nothing
        free.put_nowait(client)

    begun, tasks = time.perf_counter(), []
    for number in range(int(rate * seconds)):
        due = begun + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(ask_once(number, time.perf_counter())))
    await asyncio.gather(*tasks)
    return times


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--length", type=int, default=50, help="items of a history (default: 50)")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--rounds", type=int, default=5, help="the best of so many counts (default: 5)")
    parser.add_argument("--num_threads", type=int, default=1)
    given = parser.parse_args()
    item_ids = pl.read_parquet(f"{given.model}/items.parquet")["item_id"].to_list()
    bodies = requests(item_ids, given.length)
    flags = ["--num_threads", str(given.num_threads)]
    rates: dict[str, list[tuple[float, float]]] = {"alone": [], "batched": []}
    cuts = []
    with service(given.model, *flags, "--max_batch", "1") as alone, service(given.model, *flags) as batched:
        for _ in range(given.rounds):
            for name, port in (("alone", alone), ("batched", batched)):
                rates[name].append(asyncio.run(saturate(port, bodies, given.connections, given.seconds)))
            cuts.append(statistics.quantiles(asyncio.run(steady(batched, bodies, given.rate, given.seconds)), n=100))
    found: dict[str, object] = {"items": len(item_ids), "length": given.length, "load": round(os.getloadavg()[0], 1)}
    for name, pairs in rates.items():
        found[f"requests/s, {name}"] = round(max(rate for rate, _ in pairs))
        found[f"processor ms per request, {name}"] = round(1000 * min(seconds for _, seconds in pairs), 2)
    for percent in (50, 95, 99):
        found[f"p{percent} at {given.rate:g}/s, ms"] = round(1000 * min(cut[percent - 1] for cut in cuts), 2)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
