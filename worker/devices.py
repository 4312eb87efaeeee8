"""`python -m worker.devices`: what this process could run a model on, one a line: ``cuda:0``, ``cuda:1``, … or ``cpu``.

With `--memory` a GPU's free bytes follow its name. Needs no configuration and always exits with 0. A GPU that is there
and cannot be used is told on standard error.
"""

import sys
import warnings

import torch


def usable_devices() -> tuple[list[str], str]:
    """The GPUs, or else the CPU; and why no GPU can be used, if torch has something to say about that."""
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        try:
            count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        except Exception as error:  # noqa: BLE001 - a driver can be broken in any way
            return ["cpu"], _sentence(error)
    why = _sentence(complaints[0].message) if complaints and not count else ""
    return [f"cuda:{index}" for index in range(count)] or ["cpu"], why


def main() -> None:
    devices, why = usable_devices()
    if why:
        print(f"no GPU can be used: {why}", file=sys.stderr)  # noqa: T201 - there is no log yet
    with_memory = "--memory" in sys.argv[1:]
    print("\n".join(_with_memory(device) if with_memory else device for device in devices))  # noqa: T201 - asked for


def _with_memory(device: str) -> str:
    if device == "cpu":
        return device
    try:
        return f"{device} {torch.cuda.mem_get_info(device)[0]}"
    except RuntimeError:  # it is there and does not answer
        return device


def _sentence(problem: BaseException | Warning | str) -> str:
    return str(problem).strip().partition("\n")[0]


if __name__ == "__main__":
    main()
