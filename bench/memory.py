"""Memory at rest: API with scheduler, worker without running jobs, and the preloaded fork server beside it."""

from __future__ import annotations

import time

import psutil

from bench import kit


def main() -> None:
    print(kit.machine())
    with kit.service(workers=1):
        time.sleep(10)
        for child in psutil.Process().children(recursive=True):
            line = " ".join(child.cmdline())[-110:]
            info = child.memory_full_info()
            print(f"resident {info.rss >> 20:5} MiB, private {info.uss >> 20:5} MiB  {line}")


if __name__ == "__main__":
    main()
