"""A model of data-parallel training on many GPUs: time of an update, share of the sums, memory, storage, failures.

    python3 benchmarks/scale_model.py [--gpus 1,8,64,512] [--assume NAME=VALUE ...] [--json]
    python3 benchmarks/scale_model.py --fit MEASURED.jsonl     α and β of collectives that were measured

Every number that it assumes is in scale.json, with its source. It is a model: it predicts, and measures nothing.

An update of b examples per GPU takes update_seconds + b · example_seconds. The sum of gradients of n bytes over p GPUs is
a reduce-scatter and an all-gather by recursive halving and doubling: 2 log₂(p) α + 2 n (p − 1) / p / β (Thakur,
Rabenseifner, Gropp 2005), within hosts first and between hosts on the part of each GPU. Buckets of the gradient are
summed while the backward pass computes the next ones. With more shards than GPUs, whole shard gradients travel, since
their order of addition must not depend on the number of GPUs.
"""
import argparse
import json
import math
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent


def collective_steps(ranks):
    """(steps that cost a latency, bytes that leave a rank by bytes of the vector) of a sum over ranks."""
    return 2 * math.ceil(math.log2(ranks)) if ranks > 1 else 0, 2 * (ranks - 1) / ranks


def sum_seconds(a, gpus, size):
    """Sums a vector of `size` bytes over all GPUs: reduce-scatter in each host, sums between hosts, all-gather."""
    local = min(gpus, int(a["gpus_per_host"]))
    hosts = math.ceil(gpus / local)
    shards = max(gpus, int(a["shards"]))
    steps, share = collective_steps(local)
    within = steps * a["host_latency"] + share * size / a["host_bandwidth"]
    steps, share = collective_steps(hosts)
    between = steps * a["network_latency"] + share * size / local / a["network_bandwidth"]
    # Half of a sum is the reduce-scatter, to which every GPU sends all its shards.
    more = shards / gpus - 1
    return within + between + more * (collective_steps(local)[1] / 2 * size / a["host_bandwidth"] + share / 2 * size / local / a["network_bandwidth"])


def update(a, gpus, batch_per_gpu):
    """(seconds of an update, seconds that it waits for sums), simulated bucket by bucket."""
    compute = a["update_seconds"] + batch_per_gpu * a["example_seconds"]
    if gpus == 1:
        return compute, 0.0
    buckets = max(1, int(a["buckets"]))
    each = sum_seconds(a, gpus, 4 * a["parameters"] / buckets)
    backward = a["backward_share"] * compute
    free = 0.0  # when the network has finished the sums before
    for bucket in range(buckets):
        ready = compute - backward + backward * (bucket + 1) / buckets
        free = max(free, ready) + each
    return max(free, compute), max(0.0, free - compute)


def predict(a, gpus, batch_per_gpu, batch_of_one):
    """batch_of_one: the examples of an update on a single GPU, whose rate is 100 % efficient."""
    seconds, waiting = update(a, gpus, batch_per_gpu)
    single_rate = batch_of_one / update(a, 1, batch_of_one)[0]
    examples = a["interactions"] * a["examples_per_interaction"]
    rate = gpus * batch_per_gpu / seconds
    hosts = math.ceil(gpus / a["gpus_per_host"])
    dataset = a["interactions"] * a["interaction_bytes"]
    input_rate = hosts * (a["host_write_rate"] if dataset <= a["host_memory"] else min(a["host_write_rate"], a["storage_bandwidth"] / a["page_bytes"]))
    rate_fed = min(rate, input_rate)
    weights = 4 * a["parameters"]
    between_failures = a["failure_hours"] * 3600 / gpus
    saving = 3 * weights / a["storage_bandwidth"]
    interval = math.sqrt(2 * saving * between_failures)  # Young 1974
    lost = saving / interval + (interval / 2 + a["restart_seconds"]) / between_failures
    return {
        "gpus": gpus,
        "batch_per_gpu": batch_per_gpu,
        "update_ms": 1e3 * seconds,
        "sum_share": waiting / seconds,
        "examples_per_second": rate,
        "efficiency": rate / gpus / single_rate,
        "fed_examples_per_second": rate_fed,
        "epoch_hours": examples / rate_fed / 3600 / max(1e-9, 1 - lost),
        "gigabytes_per_gpu": (4 * weights + batch_per_gpu * a["activation_bytes"]) / 1e9,
        "gigabytes_per_gpu_zero1": (2 * weights + 2 * weights / gpus + batch_per_gpu * a["activation_bytes"]) / 1e9,
        "network_gigabytes_per_second": 2 * weights / max(1, min(gpus, a["gpus_per_host"])) / seconds / 1e9 if hosts > 1 else 0.0,
        "hours_between_failures": between_failures / 3600,
        "checkpoint_seconds": interval,
        "lost_to_failures": lost,
        "dataset_gigabytes": dataset / 1e9,
    }


def fit(lines):
    """α and 1/β that minimize the squared relative errors of {"ranks", "bytes", "seconds"}."""
    s11 = s12 = s22 = t1 = t2 = 0.0
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            ranks, size, seconds = int(row["ranks"]), float(row["bytes"]), float(row["seconds"])
            if ranks < 1 or size < 0 or not seconds > 0:
                raise ValueError
        except (ValueError, KeyError, TypeError):
            sys.exit(f"scale_model: line {number}: expected {{\"ranks\": …, \"bytes\": …, \"seconds\": …}}")
        if ranks == 1:
            continue
        steps, share = collective_steps(ranks)
        rows.append((ranks, size, seconds, steps, share * size))
        x, y = steps / seconds, share * size / seconds
        s11, s12, s22, t1, t2 = s11 + x * x, s12 + x * y, s22 + y * y, t1 + x, t2 + y
    determinant = s11 * s22 - s12 * s12
    if len(rows) < 2 or determinant <= 1e-12 * s11 * s22:
        sys.exit("scale_model: --fit needs sums of at least two sizes over at least two ranks")
    alpha, inverse = (t1 * s22 - t2 * s12) / determinant, (s11 * t2 - s12 * t1) / determinant
    errors = [abs(steps * alpha + sent * inverse - seconds) / seconds for _, _, seconds, steps, sent in rows]
    return {"latency": alpha, "bandwidth": 1 / inverse if inverse > 0 else math.inf, "rows": len(rows),
            "mean_relative_error": sum(errors) / len(errors), "largest_relative_error": max(errors)}


def read_assumptions(changes):
    values = {name: entry["value"] for name, entry in json.loads((HERE / "scale.json").read_text()).items()}
    for change in changes:
        name, _, value = change.partition("=")
        if name not in values:
            sys.exit(f"scale_model: --assume {change}: no assumption is called {name!r}; scale.json has {', '.join(values)}")
        try:
            values[name] = float(value)
        except ValueError:
            sys.exit(f"scale_model: --assume {change}: expected a number")
    return values


def counts(text):
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise argparse.ArgumentTypeError("expected numbers of at least 1 with commas between them")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=counts, default=[1, 8, 64, 512])
    parser.add_argument("--batches", type=counts, default=[1024], help="examples of an update on one GPU, shared out in the first table and kept per GPU in the second")
    parser.add_argument("--assume", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--fit", type=pathlib.Path, metavar="MEASURED.jsonl")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each row")
    options = parser.parse_args()
    if options.fit:
        try:
            text = options.fit.read_text()
        except OSError as error:
            sys.exit(f"scale_model: {options.fit}: {error.strerror}")
        found = fit(text.splitlines())
        print(json.dumps(found) if options.json else f"α = {1e6 * found['latency']:.1f} µs, β = {found['bandwidth'] / 1e9:.2f} GB/s, {found['rows']} sums, "
              f"mean error {100 * found['mean_relative_error']:.0f} %, largest {100 * found['largest_relative_error']:.0f} %")
        return
    a = read_assumptions(options.assume)
    if not options.json:
        size = a["interactions"] * a["interaction_bytes"] / 1e9
        print(f"{a['interactions']:,.0f} interactions, {size:,.1f} GB, {a['interactions'] * a['examples_per_interaction']:,.0f} examples an epoch; {a['parameters']:,.0f} parameters\n")
    for batch in options.batches:
        for title, per_gpu in ((f"a batch of {batch}, shared out", lambda n: batch / n), (f"{batch} examples on each GPU", lambda n: batch)):
            rows = [predict(a, n, per_gpu(n), batch) for n in options.gpus]
            if options.json:
                for row in rows:
                    print(json.dumps({"table": title, **row}))
                continue
            print(f"{title}\n\n| GPUs | batch | update | waits for sums | efficiency | examples/s | fed by the hosts | epoch | memory, ZeRO-1 | failure every | lost |\n"
                  "|---|---|---|---|---|---|---|---|---|---|---|")
            for r in rows:
                print(f"| {r['gpus']} | {r['gpus'] * r['batch_per_gpu']:,.0f} | {r['update_ms']:.2f} ms | {100 * r['sum_share']:.0f} % | {100 * r['efficiency']:.0f} % | "
                      f"{r['examples_per_second']:,.0f} | {r['fed_examples_per_second']:,.0f} | {r['epoch_hours']:.2f} h | {r['gigabytes_per_gpu']:.2f}, {r['gigabytes_per_gpu_zero1']:.2f} GB | "
                      f"{r['hours_between_failures']:,.0f} h | {100 * r['lost_to_failures']:.2f} % |")
            paying = max(n for n in (2 ** i for i in range(13)) if predict(a, n, per_gpu(n), batch)["efficiency"] >= 0.5)
            fastest = max((2 ** i for i in range(13)), key=lambda n: predict(a, n, per_gpu(n), batch)["examples_per_second"])
            print(f"\nAt least half of a single GPU's rate on each: up to {paying} GPUs. Fastest: {fastest} GPUs (up to 4,096 were tried).\n")


if __name__ == "__main__":
    main()
