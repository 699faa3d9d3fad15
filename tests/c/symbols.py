"""The shared library exports the functions of mql4grec.h and nothing else. symbols.py NM LIBRARY HEADER"""
import re
import subprocess
import sys

nm, library, header = sys.argv[1:]
lines = subprocess.run([nm, "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout.splitlines()
exported = {line.split()[2].split("@")[0] for line in lines if line.split()[1] != "A"}
declared = set(re.findall(r"^MQL4GREC_API [^;]*?\b(mql4grec_\w+)\(", open(header).read(), re.M))
for name in sorted(exported ^ declared):
    print(f"{name}: {'exported, but not declared' if name in exported else 'declared, but not exported'}")
print(f"{len(exported)} symbols")
sys.exit(exported != declared or not exported)
