"""A TUN device: the kernel hands a process the IPv4 packets that are sent into it, and takes those that it writes.

A virtio header before each packet says what the kernel has left undone: the checksum, and the cutting of a large TCP
segment (up to 64 KiB) into packets. Another TUN device takes the packet with that header as it is, so neither is ever
done. Thus one read and one write move the data of many packets, as between the two ends of a veth pair. (Linux,
include/uapi/linux/if_tun.h and virtio_net.h.)
"""

import fcntl
import os
import struct

DEVICE = "/dev/net/tun"
#: of x86 and ARM
_TUNSETIFF = 0x400454CA
_TUNSETOFFLOAD = 0x400454D0
_IFF_TUN, _IFF_NO_PI, _IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
#: the reader takes packets without a checksum, and large TCP segments over IPv4
_TUN_F_CSUM, _TUN_F_TSO4 = 0x01, 0x02
#: flags, kind of segment, length of headers (a hint), bytes of data in each packet, start and place of the checksum
_VIRTIO = struct.Struct("=BBHHHH")
HEADER_BYTES = _VIRTIO.size
MOST_BYTES = HEADER_BYTES + 65_535
#: `netem` counts these too
_ETHERNET_BYTES = 14


def open_tun(name: str) -> int:
    """A new device of the current namespace, which exists as long as the descriptor is open. OSError if it fails."""
    descriptor = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        flags = _IFF_TUN | _IFF_NO_PI | _IFF_VNET_HDR
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        fcntl.ioctl(descriptor, _TUNSETOFFLOAD, _TUN_F_CSUM | _TUN_F_TSO4)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def destination(packet: bytes) -> bytes | None:
    """The four bytes of the address that `packet` (with its virtio header) goes to; None if it is not IPv4."""
    if len(packet) < HEADER_BYTES + 20 or packet[HEADER_BYTES] >> 4 != 4:
        return None
    return packet[HEADER_BYTES + 16 : HEADER_BYTES + 20]


def wire_bytes(packet: bytes) -> int:
    """Its bytes on an Ethernet, where a large segment becomes packets with a header each."""
    size = len(packet) - HEADER_BYTES + _ETHERNET_BYTES
    kind: int
    each: int
    tcp: int
    _, kind, _, each, tcp, _ = _VIRTIO.unpack_from(packet)
    data_offset = HEADER_BYTES + tcp + 12
    if not kind or not each or data_offset >= len(packet):
        return size
    headers = tcp + (packet[data_offset] >> 4) * 4
    packets = -(-(len(packet) - HEADER_BYTES - headers) // each)
    return size + max(0, packets - 1) * (headers + _ETHERNET_BYTES)
