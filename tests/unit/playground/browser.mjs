// The few things of a browser that the page's modules ask for.

/** Stands in for the clock and the timers until the test is over; `pass` lets time go by. */
export function fakeClock(test) {
  const real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };
  const timers = new Map();
  let now = 0;
  let ids = 0;
  test.mock.method(performance, "now", () => now);
  globalThis.setTimeout = (call, delay) => (timers.set(++ids, { call, due: now + delay }), ids);
  globalThis.clearTimeout = (id) => timers.delete(id);
  test.after(() => Object.assign(globalThis, real));
  return {
    pass(milliseconds) {
      const end = now + milliseconds;
      for (;;) {
        const [id, next] = [...timers].sort(([, one], [, other]) => one.due - other.due)[0] ?? [];
        if (!next || next.due > end) break;
        timers.delete(id);
        now = next.due;
        next.call();
      }
      now = end;
    },
    get isWaiting() {
      return timers.size > 0;
    },
  };
}

/** Says, until the test is over, whether the system asks for less motion. */
export function fakeMotion(test, isReduced = false) {
  globalThis.matchMedia = () => ({ matches: isReduced });
  test.after(() => delete globalThis.matchMedia);
}

/** Answers all requests with what `answer` returns or throws, and returns the list of requests that come. */
export function fakeServer(test, answer) {
  const requests = [];
  globalThis.location = new URL("http://user:secret@server.example/demo/?query#part");
  test.mock.method(globalThis, "fetch", async (url, options) => {
    requests.push({ url, ...options });
    return answer(url, options);
  });
  test.after(() => delete globalThis.location);
  return requests;
}

/** A body that arrives in these pieces: strings or bytes. */
export function bodyOf(...pieces) {
  return new ReadableStream({
    start(controller) {
      const encoder = new TextEncoder();
      for (const piece of pieces) controller.enqueue(typeof piece === "string" ? encoder.encode(piece) : piece);
      controller.close();
    },
  });
}
