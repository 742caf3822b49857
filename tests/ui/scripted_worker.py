"""A worker that follows a script: the real wire and a real process, without a model.

Started as ``python scripted_worker.py NAME``; it answers the one command that it is sent.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def say(event: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def answer(number: int, text: str) -> None:
    top = [{"label": "card_arrival", "probability": 0.9}, {"label": "lost_card", "probability": 0.1}]
    prediction = {
        "text": text,
        "predicted": "card_arrival",
        "probability": 0.9,
        "top": top,
        "left_set": "strange" in text,
        "outside_mass": 0.25,
    }
    say("predicted", request=number, prediction=prediction, seconds=0.5)


def chat(slow: bool, run: str) -> None:
    say("stage_changed", stage="loading the model")
    if slow:
        time.sleep(60)
    load(run)
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["command"] == "load_model":
            load(asked["run"])
        elif asked["command"] == "generate":
            write(asked)
        elif asked["command"] == "ask":
            if asked["text"] == "crash":
                sys.exit("the driver is gone")
            if asked["text"] == "refuse":
                say("no_answer", request=asked["request"], kind="out_of_memory", message="Too big.", remedy="Close others.")
            else:
                answer(asked["request"], asked["text"])


def load(run: str) -> None:
    say("model_loaded", run=run, device="cpu", labels=["card_arrival", "lost_card"])
    say("heartbeat", memory_bytes=300 * 2**20)


def write(asked: dict[str, Any]) -> None:
    """Some pieces and an end; a message "endless" is written until it is cancelled."""
    for piece in ("Once", " upon", " a\n  time", f" by {asked['speaker']} {asked['settings']['seed']}"):
        say("token_generated", request=asked["request"], text=piece)
    endless = asked["text"] == "endless"
    if endless and json.loads(sys.stdin.readline())["command"] != "cancel":
        sys.exit("was not stopped")
    reason = "stopped" if endless else "end_token"
    end = {"reason": reason, "prompt_tokens": 3, "tokens": 8, "seconds": 2.0, "cut": "long" in asked["text"]}
    say("token_generated", request=asked["request"], text=".", end=end)


def messages(same: bool) -> list[dict[str, object]]:
    said = ["lost_card" if same else "card_arrival", *["card_arrival"] * 199]
    return [
        {
            "text": f"<b>message</b> {number}" + (" about a\nlost one" if number == 0 else ""),
            "run_predicted": "lost_card" if number == 0 else "card_arrival",
            "run_probability": 0.9,
            "export_predicted": said[number],
            "export_probability": 0.9,
            "difference": (0.5 if not same and number == 0 else 3.1e-7) / (number + 1),
        }
        for number in range(200)
    ]


def export(folder: str, agreeing: int) -> None:
    say("stage_changed", stage="predicting with the run", done=64, total=200)
    files = {"adapter_model.safetensors": 3 * 2**20, "<b>card</b>.md": 10}
    say(
        "exported",
        folder=folder,
        files=files,
        compared=200,
        agreeing=agreeing,
        largest_difference=3.1e-7 if agreeing == 200 else 0.5,
        tolerance=1e-4,
        verified=agreeing == 200,
        messages=messages(agreeing == 200),
        program=f"folder = {folder!r}\nprint(folder)",
    )


def main(name: str) -> None:
    say("hello", protocol=1, pid=0)
    command = json.loads(sys.stdin.readline())
    if name in ("chat", "slow chat"):
        chat(name == "slow chat", command["run"])
    elif name == "fail":
        say("failed", kind="no_checkpoint", message="The checkpoint is damaged.", remedy="Train again.", detail="why")
    elif name == "hang":
        say("stage_changed", stage="predicting with the run", done=64, total=200)
        time.sleep(60)
    else:
        export(command["folder"], 200 if name == "export" else 183)


if __name__ == "__main__":
    main(sys.argv[1])
