# The worker: loads one program and answers calls of its functions, until it is killed. Reads requests from descriptor 3
# and answers on 4. What it says is the program's word and no more. values.py stands before it.
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


if __name__ == "__main__":
    main()
