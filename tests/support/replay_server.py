#!/usr/bin/env python3
"""A server with OpenAI's streaming API that plays answers with known delays, for what measures servers.

It is given a list of plays as JSON; the n-th question gets play n, over and over, or play `warmup` for the first
`n_warmup`. A play is an object, all of whose members may be missing:

  status       200; another one is answered at once with an error object
  chunks       [[after_s, n_tokens], …]: pauses before each chunk of text, from the last one on (the first: from when
               the question was read whole), and how many tokens ("tok " each) it holds
  end_after_s  0: pause before the end
  end          "done" (usage, [DONE]), "no_done" (no [DONE]), "cut" (the stream ends midway, as if whole), "reset" (the
               connection breaks), "error" (an event with an error object)
  usage        true: whether usage is sent where it is asked for
  n_prompt     10: tokens of the prompt in usage

Each pause is kept against the clock from the question on, so that lateness does not add up. GET /log gives, for each
question, what was asked and when each chunk really left, in seconds since the question was read; it is how a caller
knows whether the machine was disturbed. As a program: replay_server.py PLAYS.json prints its port.
"""
import asyncio
import json
import socket
import sys
import time


class ReplayServer:
    def __init__(self, plays, warmup=None, n_warmup=0):
        self.plays, self.warmup, self.n_warmup = plays, warmup, n_warmup
        self.log = []

    async def serve(self, on_port):
        server = await asyncio.start_server(self.connection, "127.0.0.1", 0)
        on_port(server.sockets[0].getsockname()[1])
        async with server:
            await server.serve_forever()

    async def connection(self, reader, writer):
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                line, *fields = head.split("\r\n")
                headers = dict((name.lower(), value.strip()) for name, _, value in (f.partition(":") for f in fields))
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                method, path, _ = line.split(" ")
                if method == "GET":
                    self.answer_get(writer, path)
                elif not await self.play(writer, path, headers, json.loads(body)):
                    break
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass
        writer.close()

    @staticmethod
    def send_json(writer, status, value):
        body = json.dumps(value).encode()
        writer.write(b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" %
                     (status, len(body)) + body)

    def answer_get(self, writer, path):
        if path == "/v1/models":
            self.send_json(writer, 200, {"object": "list", "data": [{"id": "replay", "object": "model"}]})
        elif path == "/log":
            self.send_json(writer, 200, self.log)
        else:
            self.send_json(writer, 404, {"error": {"message": "no such path", "type": "not_found"}})

    def next_play(self):
        n = len(self.log) - self.n_warmup
        return self.warmup if n < 0 and self.warmup is not None else self.plays[n % len(self.plays)]

    async def play(self, writer, path, headers, asked):
        """False where the connection is done for."""
        start = time.monotonic()
        play = self.next_play()
        entry = {"path": path, "authorization": headers.get("authorization"), "asked": asked, "sent_s": []}
        self.log.append(entry)
        status = play.get("status", 200)
        if status != 200:
            self.send_json(writer, status, {"error": {"message": f"played status {status}", "type": "server_error"}})
            return True
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        stream = Stream(writer, path, asked, play)
        due = start
        for i, (after_s, n_tokens) in enumerate(play.get("chunks", [])):
            due += after_s
            await asyncio.sleep(max(0, due - time.monotonic()))
            if i == 0 and stream.is_chat:
                stream.send_role()
            entry["sent_s"].append(time.monotonic() - start)
            stream.send_text(n_tokens)
            await writer.drain()
        await asyncio.sleep(max(0, due + play.get("end_after_s", 0) - time.monotonic()))
        entry["ended_s"] = time.monotonic() - start
        end = play.get("end", "done")
        if end == "reset":
            writer.transport.abort()
            return False
        if end == "error":
            stream.event({"error": {"message": "played error", "type": "server_error"}})
        elif end != "cut":
            stream.send_end(has_done=end == "done")
        writer.write(b"0\r\n\r\n")
        return True


class Stream:
    """The events of one answer."""

    def __init__(self, writer, path, asked, play):
        self.writer, self.play = writer, play
        self.is_chat = path.endswith("/chat/completions")
        options = asked.get("stream_options") or {}
        self.has_usage = bool(options.get("include_usage")) and play.get("usage", True)
        self.has_chunk_usage = self.has_usage and bool(options.get("continuous_usage_stats"))
        self.n_tokens = 0

    def usage(self):
        n_prompt = self.play.get("n_prompt", 10)
        return {"prompt_tokens": n_prompt, "completion_tokens": self.n_tokens,
                "total_tokens": n_prompt + self.n_tokens}

    def event(self, value):
        data = value if isinstance(value, str) else json.dumps(value)
        bytes_ = f"data: {data}\n\n".encode()
        self.writer.write(b"%x\r\n%s\r\n" % (len(bytes_), bytes_))

    def chunk(self, choices, usage=None):
        self.event({"id": "r-1", "object": "chat.completion.chunk" if self.is_chat else "text_completion", "created": 1,
                    "model": "replay", "choices": choices, "usage": usage})

    def choice(self, text, finish_reason=None):
        if not self.is_chat:
            return [{"index": 0, "text": text, "finish_reason": finish_reason}]
        return [{"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish_reason}]

    def send_role(self):
        self.chunk([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])

    def send_text(self, n_tokens):
        self.n_tokens += n_tokens
        self.chunk(self.choice("tok " * n_tokens), self.usage() if self.has_chunk_usage else None)

    def send_end(self, has_done):
        self.chunk(self.choice("", "stop"))
        if self.has_usage:
            self.chunk([], self.usage())
        if has_done:
            self.event("[DONE]")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        script = json.load(file)
    asyncio.run(ReplayServer(**script).serve(lambda port: print(port, flush=True)))


if __name__ == "__main__":
    main()
