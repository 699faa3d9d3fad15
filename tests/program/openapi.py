"""The service against its OpenAPI description: hundreds of requests that fit it, and that don't. openapi.py PROGRAM

By schemathesis, which scripts/setup puts into .python; without it the test is skipped."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from support import PROGRAM, check, main, run

PACKAGES = Path(__file__).resolve().parents[2] / ".python"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(PACKAGES), "PYTHONDONTWRITEBYTECODE": "1"}
TOKEN = "a-token-of-the-administrator"
EXAMPLES = os.environ.get("MQL4GREC_SCHEMA_EXAMPLES", "20")  # of each operation


def the_description_is_kept():
    Path("token").write_text(TOKEN + "\n")
    process = subprocess.Popen([PROGRAM, "serve", "--dataset", "Tiny", "--model", "start", "--port", "0", "--show-users", "--admin-token-file", "token",
                                "--state", "state"], stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            event = json.loads(line)
            if event["event"] == "ready":
                break
        # A body that fits the description may name an item or a directory that doesn't exist; its answer is 400.
        done = subprocess.run([sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{event['port']}/openapi.json",
                               "--header", f"Authorization: Bearer {TOKEN}", "--max-examples", EXAMPLES, "--seed", "1", "--checks", "all",
                               "--exclude-checks", "positive_data_acceptance"],
                              env=ENVIRONMENT, capture_output=True, text=True, timeout=250)
        check(done.returncode == 0, done.stdout[-6000:], done.stderr[-2000:])
        print(*re.findall(r"[0-9]+ generated.*", done.stdout))
        check(process.poll() is None, "the service has ended")
    finally:
        process.terminate()
        process.stderr.read()
        process.wait(timeout=20)


def not_possible():
    return "no schemathesis (PyPI; scripts/setup puts it into .python), or a program without serve"


found = subprocess.run([sys.executable, "-c", "import schemathesis"], env=ENVIRONMENT, capture_output=True).returncode == 0
main([the_description_is_kept] if found and "was built without" not in run("serve").stderr else [not_possible])
