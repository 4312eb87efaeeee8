import assert from "node:assert/strict";
import test from "node:test";

import { Replay } from "../../../router/playground/page/scripts/replay.js";
import { fakeClock, fakeMotion } from "./browser.mjs";

const SLOWEST = 160; // milliseconds for a pass
const LONGEST = 4000; // for all of them

/** A replay of so many frames, with the frames that it shows. */
function replayOf(t, lastFrame, { isReduced = false } = {}) {
  fakeMotion(t, isReduced);
  const clock = fakeClock(t);
  const recording = { lastFrame };
  const frames = [];
  const replay = new Replay(recording, (frame) => frames.push(frame));
  return { clock, recording, frames, replay };
}

test("passes come one by one, at a pace that people can follow", (t) => {
  const { clock, replay } = replayOf(t, 3);
  replay.extend();
  for (const frame of [0, 1, 2, 3]) {
    assert.equal(replay.frame, frame);
    clock.pass(SLOWEST);
  }
  assert.ok(replay.isAtEnd);
  assert.ok(!clock.isWaiting);
});

test("a long answer takes no longer to watch than it should", (t) => {
  const { clock, frames, replay } = replayOf(t, 1000);
  replay.extend();
  clock.pass(LONGEST + SLOWEST);
  assert.ok(replay.isAtEnd);
  assert.deepEqual(frames, [...frames].sort((one, other) => one - other));
});

test("passes are left out where the page is too slow to show them all", (t) => {
  const { clock, frames, replay } = replayOf(t, 10);
  replay.extend();
  const { now } = performance;
  t.mock.method(performance, "now", () => 3 * now.call(performance)); // each pass takes three times as long to show
  clock.pass(4 * SLOWEST);
  assert.ok(replay.isAtEnd);
  assert.ok(frames.length < 10);
});

test("it waits at the newest pass and follows when there is more", (t) => {
  const { clock, recording, replay } = replayOf(t, 1);
  replay.extend();
  clock.pass(10 * SLOWEST);
  assert.equal(replay.frame, 1);
  assert.ok(!replay.isFinished);
  recording.lastFrame = 2;
  replay.extend();
  clock.pass(SLOWEST);
  assert.equal(replay.frame, 2);
  replay.isWhole = true;
  assert.ok(replay.isFinished);
});

test("a pause stays where it is", (t) => {
  const { clock, recording, replay } = replayOf(t, 24);
  replay.extend();
  clock.pass(3 * SLOWEST);
  replay.pause();
  recording.lastFrame = 30;
  replay.extend();
  clock.pass(10 * SLOWEST);
  assert.equal(replay.frame, 3);
  replay.play();
  clock.pass(SLOWEST);
  assert.equal(replay.frame, 4);
});

test("going back stays there, and going to the newest pass follows again", (t) => {
  const { clock, recording, replay } = replayOf(t, 3);
  replay.extend();
  clock.pass(LONGEST);
  replay.seek(1);
  recording.lastFrame = 5;
  replay.extend();
  clock.pass(LONGEST);
  assert.equal(replay.frame, 1);
  replay.seek(5);
  recording.lastFrame = 6;
  replay.extend();
  clock.pass(SLOWEST);
  assert.equal(replay.frame, 6);
});

test("it goes to no frame that there is not", (t) => {
  const { replay } = replayOf(t, 3);
  replay.seek(-1);
  assert.equal(replay.frame, 0);
  replay.seek(9);
  assert.equal(replay.frame, 3);
});

test("what is finished plays from its beginning", (t) => {
  const { clock, replay } = replayOf(t, 2);
  replay.isWhole = true;
  replay.extend();
  clock.pass(LONGEST);
  assert.ok(replay.isFinished);
  replay.play();
  assert.equal(replay.frame, 0);
  clock.pass(LONGEST);
  assert.ok(replay.isFinished);
});

test("where the system asks for less motion an answer is shown as far as it is", (t) => {
  const { clock, recording, replay } = replayOf(t, 7, { isReduced: true });
  replay.extend();
  assert.equal(replay.frame, 7);
  replay.seek(2);
  recording.lastFrame = 9;
  replay.extend();
  assert.equal(replay.frame, 2);
  assert.ok(!clock.isWaiting);
});
