"""Milliseconds from starting the daemon to its first probe at home's door; the median of five starts."""

import os
import re
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

STARTS = 5


def start(config: str) -> float:
    with socket.create_server(("127.0.0.1", 0)) as home, tempfile.TemporaryDirectory() as folder:
        home.settimeout(10)
        probe = re.compile(r'(\[site\.site\.probe\]\n(?:(?!\[).*\n)*?connect_to = )".*"')
        text, times = probe.subn(rf'\1"127.0.0.1:{home.getsockname()[1]}"', config)
        assert times == 1
        text = re.sub(r'state_dir = ".*"', f'state_dir = "{folder}/state"', text)
        path = Path(folder) / "pilotlight.toml"
        path.write_text(text)
        began = time.monotonic()
        daemon = subprocess.Popen(
            [os.environ["PILOTLIGHT"], "run", "--config", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            connection, _ = home.accept()
            took = time.monotonic() - began
            connection.close()
        finally:
            daemon.terminate()
            daemon.wait(timeout=20)
        return took * 1000


def main() -> None:
    config = Path(os.environ["CONFIG"]).read_text()
    print(f"{statistics.median(start(config) for _ in range(STARTS)):.0f}")


if __name__ == "__main__":
    main()
