"""Which addresses belong to the networks that sources may use."""

from ipaddress import ip_address

import pytest

from app.domain.networks import Networks

DEFAULT = Networks("public,private")


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.7", "172.16.3.4", "192.168.1.20", "100.64.1.1", "fd12::7", "8.8.8.8", "2606:4700::1111",
        "::ffff:192.168.1.20", "64:ff9b::808:808", "2002:808:808::",
    ],
)  # fmt: skip
def test_private_and_public_addresses_are_allowed_by_default(address: str) -> None:
    assert ip_address(address) in DEFAULT


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
        "::127.0.0.1", "0.1.2.3", "::", "169.254.169.254", "fe80::1", "fe80::1%1", "::ffff:169.254.169.254",
        "fec0::1", "224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1",
        "2001:db8::1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "2001:0:a00:1::1",
    ],
)  # fmt: skip
def test_loopback_metadata_and_non_unicast_addresses_are_forbidden_by_default(address: str) -> None:
    assert ip_address(address) not in DEFAULT


def test_only_listed_networks_are_allowed() -> None:
    cameras = Networks("192.168.7.0/24, 169.254.10.3 ,fd00:7::/64")
    for address in ("192.168.7.9", "::ffff:192.168.7.9", "169.254.10.3", "fd00:7::9"):
        assert ip_address(address) in cameras
    for address in ("192.168.8.9", "169.254.169.254", "8.8.8.8", "127.0.0.1", "fd00:8::9"):
        assert ip_address(address) not in cameras
    assert ip_address("::1") in Networks("loopback")
    assert ip_address("8.8.8.8") not in Networks("")
    assert Networks("192.168.7.9/24") == Networks("192.168.7.0/24")
    with pytest.raises(ValueError, match="garden"):
        Networks("public,garden")
