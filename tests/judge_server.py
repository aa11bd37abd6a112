"""A chat-completions server for tests of the judge: answers by the images it gets, and misbehaves as often as it is told to (no test in here).

    python tests/judge_server.py --port 8010 --faults 0.03 --latency 0.5
"""
import argparse
import hashlib
import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = ("429", "500", "timeout", "dropped", "truncated", "refusal", "wrong index", "slow")
MODES = {"html": "a page", "no image input": "this model does not support image input"}


def digest(*parts):
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


class Script:
    "What the server answers to a request, and what it has seen"
    def __init__(self, faults=0., latency=0., hang=1., mode=""):
        self.faults, self.latency, self.hang, self.mode = faults, latency, hang, mode
        self.requests, self.answered, self.lock = Counter(), Counter(), threading.Lock()

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


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args): pass

    def send(self, status, text, kind="application/json", length=None, **headers):
        data = text.encode()
        self.send_response(status)
        for k, v in {"Content-Type": kind, "Content-Length": str(length or len(data)), **headers}.items(): self.send_header(k, v)
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        script = self.server.script
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if script.mode == "html": return self.send(200, "<html>hello</html>", "text/html")
        if script.mode: return self.send(400, json.dumps({"error": {"message": MODES[script.mode]}}))
        images = script.images(body)
        name = digest(*images)  # the shown order is part of it
        with script.lock:
            script.requests[name] += 1
            attempt = script.requests[name]
        self.reply(script, script.fault(name, attempt), script.answer(images), name)

    def reply(self, script, fault, answer, name):
        time.sleep(script.latency)
        whole = {"choices": [{"message": {"role": "assistant", "content": str(answer)}}], "usage": {"prompt_tokens": 700, "completion_tokens": 1}}
        if fault == "429": return self.send(429, json.dumps({"error": {"message": "slow down"}}), **{"Retry-After": "0.02"})
        if fault == "500": return self.send(500, json.dumps({"error": {"message": "out of order"}}))
        if fault in ("timeout", "slow"): time.sleep(script.hang if fault == "timeout" else script.hang / 4)
        if fault == "dropped":
            self.close_connection = True
            return self.connection.shutdown(2)
        if fault == "refusal": whole["choices"][0]["message"]["content"] = "I'm sorry, I cannot compare these."
        if fault == "wrong index": whole["choices"][0]["message"]["content"] = "9"
        text = json.dumps(whole)
        if fault == "truncated":
            self.close_connection = True
            return self.send(200, text[:len(text) // 2])
        if fault in (None, "slow"):
            with script.lock: script.answered[name] += 1
        try: self.send(200, text)
        except OSError: pass  # the client has gone


class Server(ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 128

    def handle_error(self, *args): pass  # dropped connections are the point


class serving:
    "`with serving(faults=.03) as (script, url):` a server on a free port of this machine"
    def __init__(self, port=0, **script): self.port, self.script = port, Script(**script)

    def __enter__(self):
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.server.script = self.script
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self.script, f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def __exit__(self, *exc):
        self.server.shutdown(), self.server.server_close()


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--port", type=int, default=8010), p.add_argument("--faults", type=float, default=0.), p.add_argument("--latency", type=float, default=0.)
    args = p.parse_args()
    with serving(args.port, faults=args.faults, latency=args.latency) as (_, url):
        print(url, flush=True)
        threading.Event().wait()
