#include "lab/code_harness.h"

namespace chaski {
namespace {

// Frames of JSON, and values in it. JSON alone lacks Python's types, pickle runs code: so an object with one
// key names the type. What cannot be passed by value goes as a handle {"h": …}, and comes back as {"o": …}.
constexpr const char* kCommon = R"PY(
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
)PY";

constexpr const char* kWorker = R"PY(
import types

OUTPUT_CHARACTERS = 1 << 16


class Output:
    """sys.stdout: what is printed goes out, and a copy to the test that called."""

    def __init__(self, real):
        self.real, self.wrote, self.copy, self.n = real, False, [], 0

    def write(self, text):
        n = self.real.write(text)
        self.wrote = True
        if self.n < OUTPUT_CHARACTERS:
            self.copy.append(text)
            self.n += len(text)
        return n

    def taken(self):
        text, self.copy, self.n = "".join(self.copy), [], 0
        if text:
            self.real.flush()
        return text

    def __getattr__(self, name):
        return getattr(self.real, name)


class Input:
    """sys.stdin: empty, and knows whether it was asked."""

    def __init__(self):
        self.asked = False

    def readline(self, *_):
        self.asked = True
        return ""

    def read(self, *_):
        self.asked = True
        return ""

    def readlines(self, *_):
        self.asked = True
        return []

    def __iter__(self):
        self.asked = True
        return iter(())

    def fileno(self):
        return 0

    def isatty(self):
        return False


class Worker(Peer):
    def __init__(self, channel):
        super().__init__(channel)
        self.output, self.input = Output(sys.stdout), Input()
        self.ops = {"call": lambda f, *a, **k: f(*a, **k), "get": getattr, "set": setattr, "del": delattr,
                    "len": len, "bool": bool, "iter": iter, "next": next, "str": str, "repr": repr,
                    "int": int, "float": float, "isinstance": isinstance,
                    "getitem": lambda o, k: o[k], "enter": lambda o: type(o).__enter__(o),
                    "exit": lambda o: bool(type(o).__exit__(o, None, None, None))}
        import operator
        for name in ("eq", "ne", "lt", "le", "gt", "ge", "add", "sub", "mul", "truediv", "floordiv", "mod",
                     "neg", "abs", "setitem", "delitem", "and_", "or_", "xor", "matmul"):
            self.ops[name] = getattr(operator, name)

    def encode_other(self, value, kind):
        if isinstance(value, Callback):
            return {"o": value.number}
        if isinstance(value, tuple) and hasattr(kind, "_fields"):
            return {"t": [self.encode(x) for x in tuple.__iter__(value)]}
        if kind.__module__ != "program":
            if isinstance(value, dict):
                return {"d": [[self.encode(k), self.encode(v)] for k, v in dict.items(value)]}
            for base in (int, float, str, bytes, list, tuple, set, frozenset):
                if isinstance(value, base):
                    return self.encode(base(value))
            if isinstance(value, (type({}.keys()), type({}.items()))):
                return {"k" if isinstance(value, type({}.keys())) else "m": [self.encode(x) for x in value]}
            if kind.__module__ in ("decimal", "fractions") and kind.__name__ in ("Decimal", "Fraction"):
                return {"n": [kind.__name__, str(value)]}
        if isinstance(value, types.ModuleType):
            return {"M": value.__name__}
        if isinstance(value, type) and issubclass(value, BaseException):
            return {"x": self.exception_class(value)}
        return {"h": self.export(value)}

    def decode_other(self, tag, content):
        if tag == "h":
            return Callback(self, content)
        if tag == "I":
            return iter([self.decode(x) for x in content])
        if tag == "y!":
            return getattr(builtins, content)
        raise ValueError(tag)

    def exception_class(self, kind):
        base = next((c for c in kind.__mro__ if c.__module__ == "builtins"), Exception)
        return [kind.__name__, base.__name__]

    def error(self, e):
        text = ""
        try:
            text = str(e)[:2000]
        except BaseException:
            pass
        described = {"class": self.exception_class(type(e)), "text": text, "args": [], "attributes": {}}
        for target, source in (("args", enumerate(e.args)), ("attributes", vars(e).items())):
            try:
                values = [(k, self.encode(v)) for k, v in source]
                if all("h" not in v for _, v in values if type(v) is dict):
                    described[target] = dict(values) if target == "attributes" else [v for _, v in values]
            except BaseException:
                pass
        return described

    def answer(self, message):
        do = message["do"]
        try:
            if do == "load":
                reply = self.load(message)
            else:
                args = [self.decode(x) for x in message["args"]]
                kwargs = {k: self.decode(x) for k, x in message.get("kwargs", {}).items()}
                # A list that the call changes changes at the caller's, too.
                mutable = [i for i, x in enumerate(args) if type(x) in (list, dict, set, bytearray)]
                before = {i: message["args"][i] for i in mutable}
                value = self.ops[do](*args, **kwargs)
                reply = {"ok": self.encode(value)}
                after = {i: self.encode(args[i]) for i in mutable}
                changed = [[i, after[i]] for i in mutable if after[i] != before[i]]
                if changed:
                    reply["after"] = changed
        except BaseException as e:
            reply = {"error": self.error(e)}
        text = self.output.taken()
        if text:
            reply["printed"] = text
        try:
            self.channel.send(reply)
        except (ValueError, MemoryError, RecursionError, UnicodeError) as e:
            self.channel.send({"error": self.error(e)})

    def load(self, message):
        limit_processes(message["tasks"])
        facts = {"defines": False, "writes": False, "stage": "syntax"}
        try:
            try:
                code = compile(message["program"], "<program>", "exec", dont_inherit=True)
            except (MemoryError, RecursionError):
                facts["stage"] = "compile"
                raise
            facts["stage"] = "run"
            module = types.ModuleType("program")
            sys.modules["program"] = module
            sys.stdout, sys.stdin = self.output, self.input
            try:
                exec(code, module.__dict__)
            finally:
                namespace = dict(module.__dict__)
                entry = message["entry"]
                candidate = namespace.get(entry) if entry else last_function(namespace)
                facts["defines"] = callable(candidate)
                facts["writes"] = self.output.wrote or self.input.asked
            facts["ok"] = {name: self.encode(namespace[name]) for name in message["names"] if name in namespace}
            if candidate is not None:
                facts["candidate"] = self.encode(candidate)
        except BaseException as e:
            facts["error"] = self.error(e)
        return facts


class Callback:
    """A function of the test's, called from the program."""

    def __init__(self, peer, number):
        self.peer, self.number = peer, number

    def __call__(self, *args, **kwargs):
        peer = self.peer
        reply = peer.ask(do="call", of=self.number, args=[peer.encode(x) for x in args],
                         kwargs={k: peer.encode(x) for k, x in kwargs.items()})
        if "error" in reply:
            base = getattr(builtins, reply["error"][0], RuntimeError)
            raise base(reply["error"][1])
        return peer.decode(reply["ok"])


def last_function(namespace):
    found = [f for f in namespace.values() if isinstance(f, types.FunctionType)
             and f.__code__.co_filename == "<program>"]
    return max(found, key=lambda f: f.__code__.co_firstlineno, default=None)


def main():
    worker = Worker(Channel(3, 4))
    while True:
        worker.answer(worker.channel.receive())


main()
)PY";

constexpr const char* kJudge = R"PY(
import itertools


class Failure(Exception):
    """The program is at fault in a way of its own: `verdict` names it."""

    def __init__(self, verdict, text):
        super().__init__(text)
        self.verdict = verdict


class Remote:
    """What the program keeps and we have a handle of.

    The program decides what its own objects answer, so it never gets to hear what a test expects of one: such
    an object is equal to no plain value, does no arithmetic with one, and answers to attributes only where
    the test itself made it by calling a class by name.
    """

    __slots__ = ("_peer", "_number", "_open")
    __hash__ = object.__hash__

    def __init__(self, peer, number, is_open):
        for name, value in (("_peer", peer), ("_number", number), ("_open", is_open)):
            object.__setattr__(self, name, value)

    def _ask(self, do, *args, **kwargs):
        return self._peer.request(do, self._open, {"o": self._number}, *args, **kwargs)

    def __call__(self, *args, **kwargs):
        return self._ask("call", *args, **kwargs)

    def __getattr__(self, name):
        if not self._open:
            raise AttributeError(f"the answer is an object of the program's own, whose {name} proves nothing")
        return self._ask("get", name)

    def __setattr__(self, name, value):
        if not self._open:
            raise AttributeError("an object of the program's own")
        self._ask("set", name, value)

    def __delattr__(self, name):
        self._ask("del", name)

    def __iter__(self):
        return RemoteIterator(self._peer, self._ask("iter"))

    def __next__(self):
        return next(RemoteIterator(self._peer, self))

    def __len__(self):
        return int(self._ask("len"))

    def __bool__(self):
        return bool(self._ask("bool"))

    def __str__(self):
        return str.__str__(self._ask("str"))

    def __repr__(self):
        return str.__str__(self._ask("repr"))

    def __int__(self):
        return int.__int__(self._ask("int"))

    def __float__(self):
        return float.__float__(self._ask("float"))

    def __getitem__(self, key):
        return self._ask("getitem", key)

    def __setitem__(self, key, value):
        self._ask("setitem", key, value)

    def __delitem__(self, key):
        self._ask("delitem", key)

    def __enter__(self):
        return self._ask("enter")

    def __exit__(self, *_):
        self._ask("exit")
        return False

    def __instancecheck__(self, other):
        return isinstance(other, Remote) and bool(self._peer.request("isinstance", False, other, self))

    def __eq__(self, other):
        return self is other or (isinstance(other, Remote) and bool(self._ask("eq", other)))

    def __ne__(self, other):
        return not self == other


def between_remotes(name):
    def method(self, other):
        return self._ask(name, other) if isinstance(other, Remote) else NotImplemented
    return method


for name in ("lt", "le", "gt", "ge", "add", "sub", "mul", "truediv", "floordiv", "mod", "matmul", "and_", "or_",
             "xor"):
    setattr(Remote, "__{}__".format(name.rstrip("_")), between_remotes(name))
Remote.__neg__ = lambda self: self._ask("neg")
Remote.__abs__ = lambda self: self._ask("abs")


class RemoteIterator:
    def __init__(self, peer, iterator):
        self.peer, self.iterator = peer, iterator

    def __iter__(self):
        return self

    def __next__(self):
        if not isinstance(self.iterator, Remote):
            raise TypeError("not an iterator")
        return self.peer.request("next", self.iterator._open, self.iterator)


class Judge(Peer):
    """The end that trusts nothing: takes values, gives calls of functions that the test handed over."""

    def __init__(self, channel):
        super().__init__(channel)
        self.classes = {}
        self.makes_open = False

    def encode_other(self, value, kind):
        if kind is Remote:
            return {"o": value._number}
        if isinstance(value, type) or kind is type(len):
            if getattr(builtins, value.__name__, None) is value:
                return {"y!": value.__name__}
        if hasattr(kind, "__next__"):
            return {"I": [self.encode(x) for x in itertools.islice(value, 100000)]}
        for base in (int, float, str, bytes, list, tuple, set, frozenset, dict):
            if isinstance(value, base):
                return self.encode(base(value))
        if callable(value):
            return {"h": self.export(value)}
        raise TypeError(f"a test cannot pass {kind.__name__} to the program")

    def decode_other(self, tag, content):
        if tag == "h" and type(content) is int:
            return Remote(self, content, self.makes_open)
        if tag == "k":
            return dict.fromkeys([self.decode(x) for x in content]).keys()
        if tag == "m":
            return dict([self.decode(x) for x in content]).items()
        if tag == "n":
            import decimal, fractions
            return {"Decimal": decimal.Decimal, "Fraction": fractions.Fraction}[content[0]](content[1])
        if tag == "x":
            return self.exception_class(*content)
        if tag == "M":
            return Module(content)
        raise ValueError("not a value")

    def exception_class(self, name, base_name):
        base = getattr(builtins, base_name, None)
        # An exception that ends loops or programs must not pass for one that a test can let pass.
        if not (isinstance(base, type) and issubclass(base, Exception)) or issubclass(base, (
                StopIteration, StopAsyncIteration)):
            base = RuntimeError
        if name == base.__name__:
            return base
        if (name, base) not in self.classes:
            self.classes[name, base] = type(str(name), (base,), {})
        return self.classes[name, base]

    def request(self, do, is_open, *args, **kwargs):
        sent = [x if type(x) is dict and "o" in x else self.encode(x) for x in args[:1]]
        sent += [self.encode(x) for x in args[1:]]
        reply = self.ask(do=do, args=sent, kwargs={k: self.encode(x) for k, x in kwargs.items()})
        if reply.get("printed"):
            sys.stdout.write(str(reply["printed"]))
        self.makes_open = is_open
        if "error" in reply:
            if do == "next" and reply["error"]["class"] == ["StopIteration", "StopIteration"]:
                raise StopIteration
            raise self.exception(reply["error"])
        for i, after in reply.get("after", []):
            write_back(args[i], self.decode(after))
        return self.decode(reply["ok"])

    def exception(self, error):
        kind = self.exception_class(*error["class"])
        text = str(error["text"])
        if kind.__name__ != error["class"][0]:
            text = f"{error['class'][0]}: {text}"
        self.makes_open = False
        try:
            e = kind(*[self.decode(x) for x in error["args"]])
        except Exception:
            e = kind.__new__(kind)
            e.args = (text,)
        for name, value in error["attributes"].items():
            if not name.startswith("_"):
                setattr(e, name, self.decode(value))
        return e

    def answer(self, message):
        """A call, by the program, of a function that the test passed to it."""
        try:
            if message["do"] != "call" or type(message["of"]) is not int or message["of"] < 0:
                raise ValueError("not a call")
            self.makes_open = False
            value = self.exported[message["of"]](*[self.decode(x) for x in message["args"]],
                                                 **{k: self.decode(x) for k, x in message["kwargs"].items()})
            reply = {"ok": self.encode(value)}
        except Exception as e:
            reply = {"error": [type(e).__name__, str(e)[:2000]]}
        self.channel.send(reply)

    def load(self, job, names):
        loaded = self.ask(do="load", program=job["program"], entry=job["entry"], names=names, tasks=job["tasks"])
        facts = {"defines": loaded.get("defines") is True, "writes": loaded.get("writes") is True}
        if "error" not in loaded:
            namespace = {}
            entry = job["entry"]
            for name, value in [*loaded["ok"].items(), ("candidate", loaded.get("candidate"))]:
                called = entry if name == "candidate" else name
                self.makes_open = called[:1].isupper()
                bound = self.decode(value)
                namespace[name] = bound.take(name) if type(bound) is Module else bound
            return facts, namespace, None
        return facts, {}, self.load_failure(loaded)

    def load_failure(self, loaded):
        if loaded["stage"] == "syntax":
            return Failure("syntax_error", "{}: {}".format(loaded["error"]["class"][0], loaded["error"]["text"]))
        if loaded["stage"] == "compile":
            return Failure("failed", "the program is nested too deeply to be compiled")
        return self.exception(loaded["error"])


class Module:
    """A module that the program imported: the test sees our own, if it goes by its own name."""

    def __init__(self, name):
        self.name = name

    def take(self, name):
        if name == self.name and name in sys.stdlib_module_names:
            return __import__(name)
        return None


def write_back(old, new):
    """Make `old` equal to `new`, keeping what is equal inside."""
    if type(old) is list and type(new) is list:
        for i, value in enumerate(new[:len(old)]):
            new[i] = merged(old[i], value)
        old[:] = new
    elif type(old) is dict and type(new) is dict:
        merged_items = {k: merged(old.get(k), v) for k, v in new.items()}
        old.clear()
        old.update(merged_items)
    elif type(old) is set and type(new) is set:
        old.clear()
        old.update(new)
    elif type(old) is bytearray and type(new) is bytearray:
        old[:] = new


def merged(old, new):
    if type(old) is type(new) and type(new) in (list, dict, set, bytearray):
        write_back(old, new)
        return old
    return new


def names_of(code):
    names = set(code.co_names)
    for constant in code.co_consts:
        if hasattr(constant, "co_names"):
            names |= names_of(constant)
    return names


LIMIT_ERRORS = {11, 23, 24, 27, 28, 122}  # EAGAIN, ENFILE, EMFILE, EFBIG, ENOSPC, EDQUOT


def verdict_of(e):
    if isinstance(e, Failure):
        return e.verdict
    if isinstance(e, (MemoryError, RecursionError)):
        return "memory"
    if isinstance(e, OSError) and e.errno in LIMIT_ERRORS:
        return "limit"
    if isinstance(e, RuntimeError) and "can't start new thread" in str(e):
        return "limit"
    return "failed"


def said_of(e, test):
    """The exception, and the line of the test that it came from."""
    text = str(e) if isinstance(e, Failure) else f"{type(e).__name__}: {e}".rstrip(": ")
    line, trace = 0, e.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<test>":
            line = trace.tb_lineno
        trace = trace.tb_next
    lines = test.split("\n")
    return f"{lines[line - 1].strip()}\n{text}" if 0 < line <= len(lines) else text


def judge(job):
    import resource
    seconds = job["cpu_s"]
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    result = {"token": job["token"], "verdict": "failed", "message": "", "defines": False, "writes": False}
    test = job["test"]
    try:
        code = compile(test, "<test>", "exec")
        peer = Judge(Channel(5, 6))
        names = sorted(name for name in names_of(code) if not hasattr(builtins, name))
        facts, namespace, failure = peer.load(job, names)
        result.update(facts)
        if failure is not None:
            raise failure
        namespace["__name__"] = "test"
        if namespace.get("candidate") is None:
            namespace.pop("candidate", None)
        exec(code, namespace)
        result["verdict"] = "passed"
    except Closed:
        return
    except BaseException as e:
        result["verdict"] = verdict_of(e)
        try:
            # A lone surrogate is no text outside of Python.
            result["message"] = said_of(e, test)[:4000].encode("utf-8", "backslashreplace").decode()
        except BaseException:
            result["message"] = type(e).__name__
    Channel(3, 4).send(result)


def main():
    jobs = Channel(3, 4)
    while True:
        try:
            job = jobs.receive()
        except Closed:
            return
        child = os.fork()
        if child == 0:
            status = 1
            try:
                judge(job)
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        if status:
            jobs.send({"token": job["token"], "verdict": "timed_out" if os.WIFSIGNALED(status) else "memory",
                       "message": "the test itself was ended", "defines": False, "writes": False})


main()
)PY";

}  // namespace

const std::string& worker_script() {
  static const std::string script = std::string(kCommon) + kWorker;
  return script;
}

const std::string& judge_script() {
  static const std::string script = std::string(kCommon) + kJudge;
  return script;
}

}  // namespace chaski
