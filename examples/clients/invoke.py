#!/usr/bin/env python3
"""Calls a function of a Thaw cluster over gRPC, and says how it was started.

    python3 -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/python invoke.py demo/fndemo --data Ann
    venv/bin/python invoke.py demo/fndemo --node b --timeout 10 --server 127.0.0.1:7000

The stubs are generated from the repository's .proto files when the program starts, so that they can't
lag behind. A program of its own would generate them once, when it is built:

    python -m grpc_tools.protoc -I proto --python_out=gen --grpc_python_out=gen \
        proto/thaw/common/v1/*.proto proto/thaw/gateway/v1/*.proto
"""

import argparse
import importlib
import os
import pathlib
import sys
import tempfile

import grpc
import grpc_tools
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
# Larger bodies go through InvokeStream, in parts of at most 1 MiB.
MAX_UNARY_BODY = 4 << 20
CHUNK = 1 << 20


def generate_stubs(target):
    """Generates the stubs into the folder `target`, and imports them."""
    arguments = [
        "protoc",
        f"-I{PROTO}",
        f"-I{pathlib.Path(grpc_tools.__file__).parent / '_proto'}",
        f"--python_out={target}",
        f"--grpc_python_out={target}",
        *sorted(
            str(file.relative_to(PROTO)) for part in ("common", "gateway") for file in PROTO.glob(f"thaw/{part}/v1/*.proto")
        ),
    ]
    if protoc.main(arguments) != 0:
        sys.exit("protoc failed")
    sys.path.insert(0, target)
    return (
        importlib.import_module("thaw.gateway.v1.gateway_pb2"),
        importlib.import_module("thaw.gateway.v1.gateway_pb2_grpc"),
    )


def function_ref(messages, text):
    """`app/function`, or an id."""
    return messages.FunctionRef(path=text) if "/" in text else messages.FunctionRef(id=text)


def call(messages, invoker, options, body):
    """Returns the answer's first message and its whole body."""
    start = messages.InvokeRequest(
        function=function_ref(messages, options.function), content_type=options.content_type
    )
    for header in options.header:
        name, _, value = header.partition(":")
        start.headers.add(name=name, value=value.strip())
    # The node is for tests, and only where the operator allows it.
    metadata = [("thaw-node", options.node)] if options.node else None
    # The deadline goes through to the function.
    if len(body) <= MAX_UNARY_BODY:
        start.body = body
        answer = invoker.Invoke(start, timeout=options.timeout, metadata=metadata)
        return answer, answer.body

    def parts():
        yield messages.InvokeStreamRequest(start=start)
        for at in range(0, len(body), CHUNK):
            # The last part says so: a gateway can't tell a stream's end from its client's.
            yield messages.InvokeStreamRequest(chunk=body[at : at + CHUNK], last=at + CHUNK >= len(body))

    answer, received = None, []
    for message in invoker.InvokeStream(parts(), timeout=options.timeout, metadata=metadata):
        if message.HasField("start"):
            answer = message.start
            received.append(answer.body)
        else:
            received.append(message.chunk)
    return answer, b"".join(received)


def explain(error):
    """An error's code, stable reason, message, and when to come again."""
    lines = [f"{error.code().name}: {error.details()}"]
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            lines.append(f"reason: {info.reason} {dict(info.metadata) or ''}".rstrip())
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
            lines.append(f"try again in {retry.retry_delay.ToTimedelta().total_seconds()} s")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description="Calls a function of a Thaw cluster.")
    parser.add_argument("function", help="APP/FUNCTION or its id")
    parser.add_argument("--server", default=os.environ.get("THAW_SERVER", "127.0.0.1:7000"))
    parser.add_argument("--tls-ca", default=os.environ.get("THAW_TLS_CA"), help="PEM file; talks TLS")
    parser.add_argument("--data", default="", help="the body: a text, or @FILE")
    parser.add_argument("--content-type", default="text/plain")
    parser.add_argument("--header", action="append", default=[], metavar="NAME:VALUE")
    parser.add_argument("--node", help="pin the call to a node")
    parser.add_argument("--timeout", type=float, default=60, help="seconds")
    options = parser.parse_args()
    if options.data.startswith("@"):
        body = pathlib.Path(options.data[1:]).read_bytes()
    else:
        body = options.data.encode()

    if options.tls_ca:
        credentials = grpc.ssl_channel_credentials(pathlib.Path(options.tls_ca).read_bytes())
        channel = grpc.secure_channel(options.server, credentials)
    else:
        channel = grpc.insecure_channel(options.server)
    with tempfile.TemporaryDirectory() as generated, channel:
        messages, services = generate_stubs(generated)
        try:
            answer, received = call(messages, services.InvokerStub(channel), options, body)
        except grpc.RpcError as error:
            print(explain(error), file=sys.stderr)
            return 1
        sys.stdout.buffer.write(received)
        sys.stdout.flush()
        start = answer.start
        kind = messages.StartKind.Name(start.kind).removeprefix("START_KIND_").lower().replace("_", "-")
        total = start.total.ToTimedelta().total_seconds() * 1000
        print(f"\n{kind} on node {start.node_id} in {total:.1f} ms, call {answer.call_id}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
