"""Checks what the compose files promise, on the output of `config` of either compose tool.

usage: compose_promises.py cluster|offered|node FILE
"""

import sys

import yaml

SOCKET_PATH_MAX = 107


def ports(service):
    """(address, published, target) of each port; v1 writes text, v2 mappings."""
    for port in service.get("ports", []):
        if isinstance(port, dict):
            yield port.get("host_ip", ""), str(port["published"]), str(port["target"])
        else:
            address, published, target = port.rsplit("/", 1)[0].rsplit(":", 2)
            yield address, published, target


def mounts(service):
    """(source, target, read_only) of each bind mount."""
    for volume in service.get("volumes", []):
        if isinstance(volume, dict):
            yield volume["source"], volume["target"], bool(volume.get("read_only"))
        else:
            parts = volume.split(":")
            yield parts[0], parts[1], parts[2:] == ["ro"]


def environment(service):
    given = service.get("environment", {})
    if isinstance(given, list):
        return dict(entry.split("=", 1) for entry in given)
    return given


def check(condition, what):
    if not condition:
        sys.exit(f"compose_promises: {what}")


def check_service(name, service):
    check(service.get("restart") == "unless-stopped", f"{name} has no restart policy")
    check("test" in service.get("healthcheck", {}), f"{name} has no health check")
    check("max-size" in service.get("logging", {}).get("options", {}), f"{name}'s log is not limited")
    check(service.get("cap_drop") == ["ALL"], f"{name} keeps capabilities")
    check(not service.get("privileged"), f"{name} is privileged")
    check(service.get("read_only"), f"{name} has a writable root file system")
    has_engine = any(target == "/var/run/docker.sock" for _, target, _ in mounts(service))
    check(has_engine == name.startswith("agent"), f"{name}: the engine's socket is for agents, and only for them")
    check("thaw.role" in service.get("labels", {}), f"{name} has no label thaw.role")


def check_agent(name, service):
    data = environment(service)["THAW_DATA_DIR"]
    check((data, data, False) in mounts(service), f"{name}: {data} has not the same path inside as outside")
    longest = f"{data}/slots/{'0' * 16}/iofs/{'x' * 14}.sock"
    check(len(longest) <= SOCKET_PATH_MAX, f"{name}: {longest} is too long for a socket")
    return data


def check_cluster(services):
    check(
        set(services) == {"gateway", "scheduler", "agent-a", "agent-b", "agent-c", "prometheus"},
        f"the services are {sorted(services)}",
    )
    writable = {}
    for name, service in services.items():
        check_service(name, service)
        for source, target, read_only in mounts(service):
            if read_only or target == "/var/run/docker.sock":
                continue
            check(source not in writable, f"{name} and {writable.get(source)} share {source}")
            writable[source] = name
    for node in "abc":
        check_agent(f"agent-{node}", services[f"agent-{node}"])
        check(services[f"agent-{node}"]["labels"].get("thaw.node") == node, f"agent-{node} has no label thaw.node")
    published = [entry for service in services.values() for entry in ports(service)]
    check(len({(address, port) for address, port, _ in published}) == len(published), "a port is published twice")
    return published


def main():
    kind, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        text = yaml.safe_load(file)
    services = text["services"]
    if kind == "cluster":
        for address, port, _ in check_cluster(services):
            check(address == "127.0.0.1", f"port {port} is published on '{address}'")
    elif kind == "offered":
        offered = [(port, target) for address, port, target in check_cluster(services) if address == "192.0.2.7"]
        check(len(offered) == 6, f"offered are {offered}")
        for _, target in offered:
            check(target in ("7000", "8443", "7100", "7200"), f"the port {target}, which has no TLS, is offered")
        for name, service in services.items():
            if name != "prometheus":
                check("THAW_TLS_CERT" in environment(service), f"{name} has no certificate")
    elif kind == "node":
        (service,) = services.values()
        check_service("agent", service)
        check_agent("agent", service)
        check("THAW_TLS_CERT" in environment(service), "the node has no certificate")
        for address, port, target in ports(service):
            check(address == "127.0.0.1" or target == "7200", f"port {port} is published on '{address}'")
    else:
        sys.exit(__doc__)


main()
