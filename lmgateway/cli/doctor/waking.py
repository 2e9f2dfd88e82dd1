"""What to do about a machine with LM Studio that sleeps, and how to let a packet wake it up."""

from __future__ import annotations

from collections.abc import Iterator

from ...config import LMStudio
from .findings import Finding


def asleep(config: LMStudio, check: str, table: str) -> Finding:
    """Return what to say of a machine that doesn't answer and can be woken up. `table` has its settings."""
    message = f"Nothing answers at {config.base_url}. The machine may be asleep ({table}.wake_mac is set)."
    return Finding.note(check, message, "\n".join(_advice(config, table)))


def _advice(config: LMStudio, table: str) -> Iterator[str]:
    yield "Send a request for one of its models, which wakes it up, and run `lmgateway doctor` again."
    yield "If it stays asleep, allow Wake-on-LAN on that machine, in all of these places:"
    yield 'BIOS or UEFI: switch on "Wake on LAN" or "Power On By PCI-E", switch off "ErP" or "Deep Sleep".'
    yield (
        'Windows, Device Manager, the network card: switch on "Wake on Magic Packet" under Advanced, and'
        ' "Allow this device to wake the computer" under Power Management.'
    )
    yield (
        "Linux: `ethtool -s IFACE wol g` as root, after each start of the machine. NetworkManager does it"
        " after `nmcli connection modify NAME 802-3-ethernet.wake-on-lan magic`."
    )
    yield 'macOS, System Settings, Energy (of a laptop: Battery, Options): "Wake for network access".'
    yield (
        f"The packet for {config.wake_mac} is sent to {config.wake_address}. The default reaches only"
        f" machines in the gateway's own network. For another one, set {table}.wake_address to the broadcast"
        " address there, such as 192.168.1.255:9, and let the router forward it."
    )
    yield "Most machines can't be woken up over Wi-Fi: use a cable."
