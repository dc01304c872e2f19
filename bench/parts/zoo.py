"""How many networks of torchvision, timm and transformers are carried across as they are, and how exactly."""

import json
import os
import subprocess
import tempfile
from collections import Counter
from statistics import median

from .common import LITERT_TORCH, PEERS, ROOT, Goal, Part, answer, head, row, say, words

SCRIPT = PEERS / "zoo.py"
EXACT = 1e-4  # of the greatest output


def zoo(args):
    networks = answer([LITERT_TORCH, SCRIPT, "--list"])
    found = []
    with tempfile.TemporaryDirectory() as folder:
        while networks:  # a process that dies takes one network with it
            line = words([LITERT_TORCH, SCRIPT, args.wherry, folder, *networks])
            child = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT, env=os.environ)
            for printed in child.stdout:
                found.append(json.loads(printed))
                networks.remove(found[-1]["network"])
                say(f"zoo: {found[-1]['network']}: {found[-1]['stage']}")
            if child.wait() != 0 and networks:
                found.append({"network": networks.pop(0), "stage": "crash"})
    return found


def exported(found):
    return [one for one in found if one["stage"] not in ("PyTorch", "torch.export")]


def is_exact(one):
    return one["stage"] == "done" and one["error"] <= EXACT


def zoo_tables(found):
    tries = exported(found)
    tried, exact = (Counter(one["network"].split("/")[0] for one in group) for group in (tries, filter(is_exact, tries)))
    rows = head("networks with random weights, exported by torch.export", "tried", "as PyTorch", "median error", "median time")
    for family, count in tried.items():
        right = [one for one in tries if is_exact(one) and one["network"].startswith(family)]
        cells = [median(one[key] for one in right) for key in ("error", "seconds")]
        rows.append(row(family, str(count), str(exact[family]), f"{cells[0]:.1e}", f"{1000 * cells[1]:.0f} ms"))
    others = head("the others", "where", "what is said")
    for one in tries:
        if not is_exact(one):
            said = one.get("said", f"error {one.get('error', 0):.1e} of the greatest output").split("\n")[0]
            others.append(row(one["network"], one["stage"], said.replace("|", "\\|")[:160]))
    return [rows, others] if len(others) > 2 else [rows]


def zoo_goals(found):
    tries = exported(found)
    share = 100 * sum(map(is_exact, tries)) / len(tries)
    shown = f"{share:.1f} % of {len(tries)}"
    yield Goal("networks of torchvision, timm and transformers: as PyTorch", "≥ 95 %", 95, share, shown, least=True)


PARTS = {"zoo": Part(zoo, zoo_tables, zoo_goals)}
