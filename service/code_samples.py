"""Code that calls each endpoint, in five languages, made from the examples of openapi.json."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

ADDRESS = "http://127.0.0.1:8000"
"""The address in the samples: that of `make run`."""

_PYTHON = """\
import json
import urllib.error
import urllib.request

call = urllib.request.Request(
    "{url}",
    data=json.dumps({body}).encode(),
    headers={{"Content-Type": "application/json", "Idempotency-Key": "{key}"}},
)
try:
    with urllib.request.urlopen(call, timeout=35) as answer:
        print(answer.status, json.load(answer))
except urllib.error.HTTPError as problem:
    print(problem.code, json.load(problem))
"""
_JAVA = """\
import java.net.URI;
import java.net.http.*;
import java.time.Duration;

public class Call {{
    public static void main(String[] arguments) throws Exception {{
        var call = HttpRequest.newBuilder(URI.create("{url}"))
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", "{key}")
            .timeout(Duration.ofSeconds(35))
            .POST(HttpRequest.BodyPublishers.ofString({quoted}))
            .build();
        var answer = HttpClient.newHttpClient().send(call, HttpResponse.BodyHandlers.ofString());
        System.out.println(answer.statusCode() + " " + answer.body());
    }}
}}
"""
_GO = """\
package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

func main() {{
	call, err := http.NewRequest("POST", "{url}", strings.NewReader({quoted}))
	if err != nil {{
		panic(err)
	}}
	call.Header.Set("Content-Type", "application/json")
	call.Header.Set("Idempotency-Key", "{key}")
	answer, err := (&http.Client{{Timeout: 35 * time.Second}}).Do(call)
	if err != nil {{
		panic(err)
	}}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	fmt.Println(answer.StatusCode, string(body), err)
}}
"""
_NODE = """\
fetch("{url}", {{
  method: "POST",
  headers: {{ "Content-Type": "application/json", "Idempotency-Key": "{key}" }},
  body: JSON.stringify({text}),
  signal: AbortSignal.timeout(35_000),
}}).then(async (answer) => console.log(answer.status, await answer.text()));
"""


class Sample(NamedTuple):
    """Code in one language."""

    lang: str
    label: str
    source: str


class Samples(NamedTuple):
    """The code that calls one endpoint."""

    method: str
    path: str
    summary: str
    code: tuple[Sample, ...]


def post_samples(path: str, body: Mapping[str, Any], key: str, address: str = ADDRESS) -> tuple[Sample, ...]:
    """Return code that posts *body*, with *key* as its Idempotency-Key."""
    text = json.dumps(body)
    parts = {"url": address + path, "body": repr(dict(body)), "text": text, "quoted": json.dumps(text), "key": key}
    curl = (
        f"curl -i {address}{path} \\\n  -H 'Content-Type: application/json' -H 'Idempotency-Key: {key}' \\\n"
        f"  -d {shlex.quote(text)}\n"
    )
    return (
        Sample("Shell", "curl", curl),
        Sample("Python", "Python", _PYTHON.format(**parts)),
        Sample("Java", "Java", _JAVA.format(**parts)),
        Sample("Go", "Go", _GO.format(**parts)),
        Sample("JavaScript", "Node.js", _NODE.format(**parts)),
    )


def samples_of(openapi: Mapping[str, Any], address: str = ADDRESS) -> Iterator[Samples]:
    """Yield the samples of every POST endpoint of openapi.json."""
    for path, methods in openapi["paths"].items():
        operation = methods.get("post")
        if operation is not None:
            body = operation["requestBody"]["content"]["application/json"]["example"]
            code = post_samples(path, body, f"{operation['operationId']}-2026-0042", address)
            yield Samples("POST", path, operation["summary"], code)
