# What the two programs of the sandbox share: frames of JSON, and values in it. Its text stands before worker.py's and
# before judge.py's, which makes each one program; they see no other file.
#
# JSON alone lacks Python's types, pickle runs code: so an object with one key names the type. What cannot be passed by
# value goes as a handle {"h": ...}, and comes back as {"o": ...}.
import builtins, json, os, sys

FRAME_BYTES = 1 << 25
BIG = 1 << 53
VALUE_TYPES = {t.__name__: t for t in (bool, int, float, complex, str, bytes, bytearray, list, tuple, set,
                                       frozenset, dict, range, object, type(None))}


class Closed(BaseException):
    """The other side is gone."""


class Channel:
    def __init__(self, read_fd, write_fd):
        self.read_fd, self.write_fd = read_fd, write_fd
        self._read, self._write = os.read, os.write
        self._loads, self._dumps = json.loads, json.dumps

    def send(self, message):
        data = self._dumps(message, check_circular=False).encode()
        if len(data) > FRAME_BYTES:
            raise MemoryError("a value is too large to be passed on")
        view = memoryview(len(data).to_bytes(4, "little") + data)
        while view:
            view = view[self._write(self.write_fd, view):]

    def receive(self):
        n = int.from_bytes(self._bytes(4), "little")
        if n > FRAME_BYTES:
            raise MemoryError("a value is too large to be passed on")
        return self._loads(self._bytes(n))

    def _bytes(self, n):
        parts = []
        while n:
            part = self._read(self.read_fd, min(n, 1 << 20))
            if not part:
                raise Closed()
            parts.append(part)
            n -= len(part)
        return b"".join(parts)


class Peer:
    """One end of the conversation. Subclasses say what may be asked of them."""

    def __init__(self, channel):
        self.channel = channel
        self.exported = []

    def ask(self, **message):
        self.channel.send(message)
        while True:
            reply = self.channel.receive()
            if "do" not in reply:
                return reply
            self.answer(reply)

    def export(self, value):
        self.exported.append(value)
        return len(self.exported) - 1

    def encode(self, value):
        kind = type(value)
        if value is None or kind is bool or kind is str or kind is float:
            return value
        if kind is int:
            return value if -BIG < value < BIG else {"i": hex(value)}
        encode = self.encode
        if kind is list:
            return [encode(x) for x in value]
        if kind is tuple:
            return {"t": [encode(x) for x in value]}
        if kind is dict:
            return {"d": [[encode(k), encode(v)] for k, v in value.items()]}
        if kind is set:
            return {"s": [encode(x) for x in value]}
        if kind is frozenset:
            return {"S": [encode(x) for x in value]}
        if kind is bytes:
            return {"b": value.hex()}
        if kind is bytearray:
            return {"B": value.hex()}
        if kind is complex:
            return {"c": [value.real, value.imag]}
        if kind is range:
            return {"r": [encode(value.start), encode(value.stop), encode(value.step)]}
        if kind is type and VALUE_TYPES.get(value.__name__) is value:
            return {"y": value.__name__}
        return self.encode_other(value, kind)

    def decode(self, value):
        kind = type(value)
        if kind is list:
            return [self.decode(x) for x in value]
        if kind is not dict:
            return value
        (tag, content), = value.items()
        decode = self.decode
        if tag == "i":
            return int(content, 16)
        if tag == "t":
            return tuple([decode(x) for x in content])
        if tag == "d":
            return {decode(k): decode(v) for k, v in content}
        if tag == "s":
            return {decode(x) for x in content}
        if tag == "S":
            return frozenset([decode(x) for x in content])
        if tag == "b":
            return bytes.fromhex(content)
        if tag == "B":
            return bytearray.fromhex(content)
        if tag == "c":
            return complex(*content)
        if tag == "r":
            return range(*[decode(x) for x in content])
        if tag == "y":
            return VALUE_TYPES[content]
        if tag == "o":
            return self.exported[content]
        return self.decode_other(tag, content)


def limit_processes(n):
    import resource
    resource.setrlimit(resource.RLIMIT_NPROC, (n, n))
