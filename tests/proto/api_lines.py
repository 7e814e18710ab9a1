"""The API of .proto files as text, one line for each thing that a client or another version relies on.

A line that is in an older description and not in a newer one is a change that breaks somebody: a removed or
renamed message, field, enum value, service or method, a field with another number, type, label or oneof, a
method with other messages or another kind of streaming. New lines break nobody.
"""

import pathlib
import re
import subprocess

_TOKEN = re.compile(r'\s*(?:([A-Za-z_][A-Za-z_0-9]*)\s*(\{|:)|(\})|("(?:[^"\\]|\\.)*"|[^\s{}]+))')


def parse_text_format(text):
    """A message in text format as a dict from field name to the list of its values (dicts and strings)."""
    position = 0
    stack = [{}]
    name = None
    text = text.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match:
            raise ValueError(f"text format: cannot read {text[position:position + 40]!r}")
        position = match.end()
        key, kind, close, value = match.groups()
        if kind == "{":
            child = {}
            stack[-1].setdefault(key, []).append(child)
            stack.append(child)
        elif kind == ":":
            name = key
        elif close:
            stack.pop()
        else:
            stack[-1].setdefault(name, []).append(value.strip('"'))
        while position < len(text) and text[position].isspace():
            position += 1
    if len(stack) != 1:
        raise ValueError("text format: a message is not closed")
    return stack[0]


def _one(message, field, default=""):
    return message.get(field, [default])[0]


def _message_lines(message, prefix):
    name = f"{prefix}.{_one(message, 'name')}"
    yield f"message {name}"
    oneofs = [_one(oneof, "name") for oneof in message.get("oneof_decl", [])]
    for field in message.get("field", []):
        kind = _one(field, "type_name") or _one(field, "type").removeprefix("TYPE_").lower()
        label = _one(field, "label").removeprefix("LABEL_").lower()
        words = [f"field {name}.{_one(field, 'name')} = {_one(field, 'number')}", label, kind]
        if "oneof_index" in field:
            words.append(f"oneof {oneofs[int(_one(field, 'oneof_index'))]}")
        yield " ".join(words)
    for nested in message.get("nested_type", []):
        yield from _message_lines(nested, name)
    for enum in message.get("enum_type", []):
        yield from _enum_lines(enum, name)


def _enum_lines(enum, prefix):
    name = f"{prefix}.{_one(enum, 'name')}"
    yield f"enum {name}"
    for value in enum.get("value", []):
        yield f"value {name}.{_one(value, 'name')} = {_one(value, 'number')}"


def _service_lines(service, prefix):
    name = f"{prefix}.{_one(service, 'name')}"
    yield f"service {name}"
    for method in service.get("method", []):
        stream_in = "stream " if _one(method, "client_streaming") == "true" else ""
        stream_out = "stream " if _one(method, "server_streaming") == "true" else ""
        yield (
            f"rpc {name}.{_one(method, 'name')}({stream_in}{_one(method, 'input_type')})"
            f" returns ({stream_out}{_one(method, 'output_type')})"
        )


def lines_of_descriptor_text(text):
    """The sorted lines of a FileDescriptorSet in text format."""
    lines = set()
    for file in parse_text_format(text).get("file", []):
        package = _one(file, "package")
        for message in file.get("message_type", []):
            lines.update(_message_lines(message, package))
        for enum in file.get("enum_type", []):
            lines.update(_enum_lines(enum, package))
        for service in file.get("service", []):
            lines.update(_service_lines(service, package))
    return sorted(lines)


def lines_of_folder(protoc, root, below="thaw"):
    """The sorted lines of all .proto files of root/below."""
    root = pathlib.Path(root)
    files = sorted(str(path.relative_to(root)) for path in (root / below).rglob("*.proto"))
    if not files:
        raise ValueError(f"there is no .proto file below {root / below}")
    described = subprocess.run(
        [protoc, f"-I{root}", "--descriptor_set_out=/dev/stdout", *files], check=True, capture_output=True, timeout=60
    ).stdout
    text = subprocess.run(
        [protoc, "--decode=google.protobuf.FileDescriptorSet", "google/protobuf/descriptor.proto"],
        input=described, check=True, capture_output=True, timeout=60,
    ).stdout.decode()
    return lines_of_descriptor_text(text)
