"""A chat-completions server for tests of the judge: answers by the images it gets, and misbehaves as it is told to (no test in here).

    python tests/judge_server.py --port 8010 --faults 0.03 --latency 0.5
    python tests/judge_server.py --mode "gzip bomb"
"""
import argparse
import gzip
import hashlib
import json
import textwrap
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FAULTS = ("429", "500", "dropped", "truncated", "refusal", "wrong index", "timeout", "slow")
USAGE = {"prompt_tokens": 700, "completion_tokens": 1}


def digest(*parts):
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


def whole(content, finish="stop", usage=USAGE, **message):
    "A chat completion"
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
    return {"object": "chat.completion", "choices": [choice], "usage": usage}


def error(message, **more):
    return {"error": {"message": message, **more}}


CALL = [{"id": "1", "type": "function", "function": {"name": "choose", "arguments": "{}"}}]
SAID = {  # mode -> what the model says, a successful reply
    "empty": whole(""), "null content": whole(None), "spaces": whole(" \n "), "thinks only": whole("<think>maybe 2, or 3"),
    "cut": whole("Let me look at image 1 first. It", "length"), "cut and empty": whole(None, "length"), "cut in thought": whole("<think>image 1", "length"),
    "content filter": whole(None, "content_filter"), "refusal field": whole(None, refusal="I will not compare people."), "refusal": whole("I'm sorry, I cannot compare these."),
    "tool call": whole(None, "tool_calls", tool_calls=CALL), "number": whole(2), "list": whole([1, 2]), "object": whole({"image": 2}), "true": whole(True),
    "minus": whole("-1"), "decimal": whole("2.5"), "several": whole("1 or 2"), "beyond": whole("9"), "huge integer": whole("9" * 5000), "words": whole("the left one"),
    "surrogate": whole("\ud800 left"), "no choices": {"choices": [], "usage": USAGE}, "null choices": {"choices": None}, "null choice": {"choices": [None]},
    "null message": {"choices": [{"message": None}]}, "a list": [1], "a number": 3, "null": None, "error in 200": error("out of memory"), "error text in 200": {"error": "no"},
    "parts": whole([{"type": "text", "text": "1"}]),
}
BODIES = {  # mode -> status, content type, body, headers
    "html": (200, "text/html", b"<html>hello</html>", {}), "html, called JSON": (200, "application/json", b" <!DOCTYPE html><p>hello", {}),
    "plain": (200, "text/plain", b"hello", {}), "not JSON": (200, "application/json", b"{'a': 1}", {}), "no body": (200, "application/json", b"", {}),
    "deep": (200, "application/json", b"[" * 200_000, {}), "long number": (200, "application/json", b'{"usage": ' + b"9" * 10_000 + b"}", {}),
    "stream": (200, "text/event-stream", b"data: {}\n\n", {}), "brotli": (200, "application/json", b"\x0b\x02\x80", {"Content-Encoding": "br"}),
    "no gzip": (200, "application/json", b"hello", {"Content-Encoding": "gzip"}), "cut gzip": (200, "application/json", gzip.compress(b"{}" * 99)[:20], {"Content-Encoding": "gzip"}),
    "gzip bomb": (200, "application/json", gzip.compress(b" " * (100 << 20)), {"Content-Encoding": "gzip"}), "error page": (502, "text/html", b"<html>bad gateway</html>", {}),
    "nothing": (204, "application/json", b"", {}),
}
REFUSED = {  # mode -> status, body
    "no image input": (400, error("this model does not support image input")), "one image": (400, error("At most 1 image(s) may be provided in one request.")),
    "wrong key": (401, error("Incorrect API key provided")), "no model": (404, error("The model does not exist")), "quota": (429, error("You exceeded your current quota", code="insufficient_quota")),
    "no sentence": (400, {"oops": [1]}), "list of errors": (422, {"detail": [{"msg": "bad field"}]}), "escapes": (400, error("red \x1b[31m\nand\u202e more")),
}


class Script:
    "What the server answers to a request, and what it has seen"
    def __init__(self, faults=0., latency=0., mode="", header="", only=None):
        self.faults, self.latency, self.mode, self.header, self.only = faults, latency, mode, header, only
        self.requests, self.answered, self.seen, self.lock, self.over = Counter(), Counter(), [], threading.Lock(), threading.Event()
        self.at = {}  # number of a request -> what is called when it has come

    def images(self, body):
        parts = body["messages"][0]["content"]
        return [p["image_url"]["url"] for p in parts if p["type"] == "image_url"]

    def answer(self, images):
        "The candidate whose hash with the target is largest: the same one in any order"
        reference, *candidates = images
        return 1 + max(range(len(candidates)), key=lambda i: digest(reference, candidates[i]))

    def fault(self, name, attempt):
        "The fault of this attempt at this question, if any: each kind with the same chance"
        u = int(digest(name, str(attempt))[:8], 16) / 16**8
        i = int(u / self.faults) if self.faults else len(FAULTS)
        return FAULTS[i] if i < len(FAULTS) else None

    def came(self, name):
        "Count a request; (which attempt at its question, which request of all)"
        with self.lock:
            self.requests[name] += 1
            return self.requests[name], self.requests.total()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args): pass

    def send(self, status, body, kind="application/json", length=None, **headers):
        data = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        for k, v in {"Content-Type": kind, "Content-Length": str(length or len(data)), **headers}.items(): self.send_header(k.replace("_", "-"), v)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.server.script.seen.append(("GET", self.path, dict(self.headers)))
        self.send(200, whole("1"))

    def do_POST(self):
        script = self.server.script
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        script.seen.append(("POST", self.path, dict(self.headers)))
        images = script.images(body)
        name = digest(*images)  # the shown order is part of it
        attempt, n = script.came(name)
        if n in script.at: script.at[n]()
        try:
            if script.mode and (script.only is None or n in script.only): self.misbehave(script, script.mode, images)
            else: self.reply(script, script.fault(name, attempt), script.answer(images), name)
        except OSError: self.close_connection = True  # the client has gone

    def misbehave(self, script, mode, images):
        "The reply of a mode"
        key = self.headers["Authorization"].removeprefix("Bearer ")
        if mode in SAID: return self.send(200, SAID[mode])
        if mode in BODIES: return self.send(BODIES[mode][0], BODIES[mode][2], BODIES[mode][1], **BODIES[mode][3])
        if mode in REFUSED: return self.send(*REFUSED[mode])
        if mode == "retry": return self.send(429, error("slow down"), **{"Retry-After": script.header})
        if mode == "usage": return self.send(200, whole(str(script.answer(images)), usage=script.header))
        if mode in ("301", "302", "303", "307", "308"): return self.send(int(mode), "", Location=script.header)
        if mode.startswith("echo"): return self.echo(mode, script.header(key) if script.header else key, images)
        getattr(self, mode.replace(" ", "_"))(script, images)

    def echo(self, mode, key, images):
        "The key comes back: in an error, in an answer, in a field of the request"
        if mode == "echo in an error": return self.send(401, error(f"Incorrect API key provided: {key}, from Authorization: Bearer {key}"))
        if mode == "echo in an error of 200": return self.send(200, error(f"wrong key {key}"))
        if mode == "echo in a redirect": return self.send(307, "", Location=f"http://localhost/v1?key={key}")
        if mode == "echo in a refusal": return self.send(200, whole(f"I'm sorry, {key} cannot be used"))
        if mode == "echo in Retry-After": return self.send(429, error(key), **{"Retry-After": "99999"})
        self.send(200, whole(f"{key}: the answer is {self.server.script.answer(images)}"))

    def dropped(self, script, images):
        self.close_connection = True
        self.connection.shutdown(2)

    def hangs(self, script, images):
        "Say nothing until the client or the test has gone"
        self.close_connection = True
        self.connection.settimeout(.05)
        while not script.over.is_set():
            try:
                if not self.connection.recv(1): return
            except TimeoutError: pass

    def trickle(self, script, start, piece):
        "Bytes one at a time, until the client has gone"
        self.close_connection = True
        self.wfile.write(start)
        while not script.over.wait(.02): self.wfile.write(piece)

    def slow_headers(self, script, images): self.trickle(script, b"HTTP/1.1 200 OK\r\nX: ", b"x")

    def slow_body(self, script, images): self.trickle(script, b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n")

    def endless(self, script, images):
        "100 MB, as fast as they go"
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 104857600\r\n\r\n")
        for _ in range(1600):
            self.wfile.write(b" " * 65536)
            script.sent = getattr(script, "sent", 0) + 65536

    def cut_off(self, script, images):
        "The connection ends in the middle of a chunked reply"
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"choices\"")

    def short(self, script, images):
        "Less than Content-Length says"
        self.close_connection = True
        self.send(200, whole("1"), length=9999)

    def no_http(self, script, images):
        self.close_connection = True
        self.wfile.write(b"\x15\x03\x03\x00\x02\x02\x46")

    def reply(self, script, fault, answer, name):
        if script.latency: script.over.wait(script.latency)
        if fault == "429": return self.send(429, error("slow down"), **{"Retry-After": "0.02"})
        if fault == "500": return self.send(500, error("out of order"))
        if fault == "timeout": return self.hangs(script, None)
        if fault == "slow": script.over.wait(.2)
        if fault == "dropped": return self.dropped(script, None)
        if fault in ("refusal", "wrong index"): return self.send(200, SAID["refusal" if fault == "refusal" else "beyond"])
        text = json.dumps(whole(str(answer)))
        if fault == "truncated":
            self.close_connection = True
            return self.send(200, text[:len(text) // 2])
        with script.lock: script.answered[name] += 1
        self.send(200, text)


def pem(name, folder):
    "A self-signed certificate with its key, in a file: `self` for this machine, `other` for another, `expired`"
    made = json.loads((Path(__file__).parent / "certificates.json").read_text())[name]
    blocks = [f"-----BEGIN {kind}-----\n" + "\n".join(textwrap.wrap(made[kind], 64)) + f"\n-----END {kind}-----\n" for kind in made]
    path = Path(folder) / f"{name}.pem"
    path.write_text("".join(blocks))
    return path


class Server(ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 128

    def handle_error(self, *args): pass  # dropped connections are the point


class serving:
    "`with serving(faults=.03) as (script, url):` a server on a free port of this machine; tls: a context, for https"
    def __init__(self, port=0, tls=None, **script): self.port, self.tls, self.script = port, tls, Script(**script)

    def __enter__(self):
        self.server = Server(("127.0.0.1", self.port), Handler)
        if self.tls: self.server.socket = self.tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.server.script = self.script
        threading.Thread(target=self.server.serve_forever, kwargs=dict(poll_interval=.02), daemon=True).start()
        return self.script, f"http{'s' * bool(self.tls)}://127.0.0.1:{self.server.server_address[1]}/v1"

    def __exit__(self, *exc):
        self.script.over.set()
        self.server.shutdown(), self.server.server_close()


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--port", type=int, default=8010), p.add_argument("--faults", type=float, default=0.), p.add_argument("--latency", type=float, default=0.)
    p.add_argument("--mode", default="")
    args = p.parse_args()
    with serving(args.port, faults=args.faults, latency=args.latency, mode=args.mode) as (_, url):
        print(url, flush=True)
        threading.Event().wait()
