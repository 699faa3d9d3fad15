"""What requests cost from Python, in processor time for each user (the least of a few runs), beside an evaluation.

    PYTHONPATH=build/release/python:.python python3 benchmarks/python_requests.py MODEL DATASET [USERS [RUNS]]
"""
import resource
import sys

import mql4grec

model, dataset, users, runs = (*sys.argv[1:], *("512", "5")[len(sys.argv) - 3:])
recommender = mql4grec.Recommender.load(model, dataset)
histories = [recommender.history(user)[:-1] for user in range(min(int(users), recommender.users))]


def processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


for name, work in (("recommend, one by one", lambda: [recommender.recommend(history, k=20) for history in histories]),
                   ("candidates, one thread", lambda: recommender.candidates(histories, k=20, threads=1)),
                   ("candidates with codes, two threads", lambda: recommender.candidates(histories, k=20, codes=True, threads=2)),
                   ("evaluate, one thread", lambda: recommender.evaluate(users=len(histories), threads=1))):
    work()
    best = float("inf")
    for _ in range(int(runs)):
        before = processor_seconds()
        work()
        best = min(best, processor_seconds() - before)
    print(f"{name:36} {1e3 * best / len(histories):6.2f} ms")
