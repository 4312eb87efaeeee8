/**
 * Yields the data of each server-sent event in the body of a response. An event ends with an empty line; comments may
 * stand anywhere, also without one. The body is read to its end, or cancelled.
 */
export async function* events(body) {
  let data = [];
  for await (const line of lines(body)) {
    if (line.startsWith("data:")) {
      data.push(line.slice("data:".length).replace(/^ /, ""));
    } else if (line === "" && data.length) {
      yield data.join("\n");
      data = [];
    }
  }
}

/** A line ends with a line feed, a carriage return or both; one that the body breaks off in is left out. */
async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const complete = (pending + value).split(/\r\n|\n|\r(?!$)/); // a carriage return at the end may be half of a pair
      pending = complete.pop();
      yield* complete;
    }
    if (pending.endsWith("\r")) yield pending.slice(0, -1);
  } finally {
    await reader.cancel().catch(() => {}); // of a connection that is gone already
  }
}
