import { closings } from './closedstreams.ts';
import { errorCodes, frameFlags, frameTypes, mostWindowBytes, settingIds } from './codes.ts';
import { costs, resetCost } from './patience.ts';
import type { Session } from './session.ts';

/** Frames that carry no part of a message (RFC 9113 §6.3 to §6.9). */
export function takeControl<T>(
  session: Session<T>,
  type: number,
  flags: number,
  streamId: number,
  bytes: Buffer,
  start: number,
  end: number,
): void {
  const length = end - start;
  switch (type) {
    case frameTypes.priority:
      takePriority(session, streamId, bytes, start, length);
      return;
    case frameTypes.rstStream:
      takeReset(session, streamId, bytes, start, length);
      return;
    case frameTypes.settings:
      takeSettings(session, flags, streamId, bytes, start, length);
      return;
    case frameTypes.ping:
      takePing(session, flags, streamId, bytes, start, length);
      return;
    case frameTypes.goaway:
      takeGoAway(session, streamId, bytes, start, length);
      return;
    case frameTypes.windowUpdate:
      takeWindowUpdate(session, streamId, bytes, start, length);
      return;
    case frameTypes.pushPromise:
      // To a server never, to a client that has refused them neither (RFC 9113 §8.4).
      session.fail(errorCodes.protocolError);
      return;
    default:
      session.spend(costs.pointless);
  }
}

function takePriority<T>(session: Session<T>, streamId: number, bytes: Buffer, start: number, length: number): void {
  if (streamId === 0) {
    session.fail(errorCodes.protocolError);
    return;
  }
  const isSelf = length === 5 && (bytes.readUInt32BE(start) & 0x7fffffff) === streamId;
  if (length === 5 && !isSelf) {
    session.spend(costs.priority);
    return;
  }
  const code = isSelf ? errorCodes.protocolError : errorCodes.frameSizeError;
  const stream = session.streams.get(streamId);
  // A stream that is not there cannot be reset (RFC 9113 §6.4).
  if (stream === undefined) session.fail(code);
  else session.streamError(stream, code);
}

function takeReset<T>(session: Session<T>, streamId: number, bytes: Buffer, start: number, length: number): void {
  if (length !== 4 && streamId !== 0) {
    session.fail(errorCodes.frameSizeError);
    return;
  }
  const stream = session.streams.get(streamId);
  if (stream !== undefined) {
    const openMs = session.nowMs - stream.openedAtMs;
    session.resetByPeer(stream, bytes.readUInt32BE(start));
    if (session.isServer) session.spend(resetCost(openMs));
  } else if (streamId === 0 || session.isIdle(streamId)) session.fail(errorCodes.protocolError);
  else if (!hasCrossed(session, streamId)) session.spend(costs.pointless);
}

/**
 * A reset that was on its way when we reset the stream: servers that answer an upload early want no more of it, and neither do we.
 * A hundred of them a second must not end a backend's connection for all who are on it.
 */
function hasCrossed<T>(session: Session<T>, streamId: number): boolean {
  return session.closed.howOf(streamId) === closings.byUs && session.wasOnItsWay(0);
}

function takeSettings<T>(
  session: Session<T>,
  flags: number,
  streamId: number,
  bytes: Buffer,
  start: number,
  length: number,
): void {
  const isAck = (flags & frameFlags.ack) !== 0;
  if (streamId !== 0 || (isAck && !session.isSettled)) {
    session.fail(errorCodes.protocolError);
    return;
  }
  if (isAck ? length !== 0 : length % 6 !== 0) {
    session.fail(errorCodes.frameSizeError);
    return;
  }
  if (isAck) {
    session.spend(costs.pointless);
    return;
  }
  const { peer, sender } = session;
  for (let at = start; at < start + length; at += 6) {
    const id = bytes.readUInt16BE(at);
    const value = bytes.readUInt32BE(at + 2);
    const code = peer.take(id, value, !session.isServer);
    if (code !== errorCodes.noError) {
      session.fail(code);
      return;
    }
    if (id === settingIds.headerTableSize) sender.encoder.resize(value);
  }
  if (!changeStreamWindows(session, peer.initialWindowSize)) {
    session.fail(errorCodes.flowControlError);
    return;
  }
  sender.acknowledgeSettings();
  session.spend(costs.settings);
  if (session.isOver) return;
  session.isSettled = true;
  session.owner.settled();
}

/** SETTINGS_INITIAL_WINDOW_SIZE moves the windows of all streams (RFC 9113 §6.9.2). @returns false when one overflows */
function changeStreamWindows<T>(session: Session<T>, bytes: number): boolean {
  const change = bytes - session.sender.streamWindow;
  if (change === 0) return true;
  session.sender.streamWindow = bytes;
  for (const stream of session.streams.values()) {
    stream.sendWindow += change;
    if (stream.sendWindow > mostWindowBytes) return false;
  }
  return true;
}

function takePing<T>(
  session: Session<T>,
  flags: number,
  streamId: number,
  bytes: Buffer,
  start: number,
  length: number,
): void {
  if (streamId !== 0) session.fail(errorCodes.protocolError);
  else if (length !== 8) session.fail(errorCodes.frameSizeError);
  else if ((flags & frameFlags.ack) !== 0) {
    session.pinged(bytes, start);
    session.spend(costs.pointless);
  } else {
    session.sender.ping(frameFlags.ack, bytes, start);
    session.spend(costs.ping);
  }
}

function takeGoAway<T>(session: Session<T>, streamId: number, bytes: Buffer, start: number, length: number): void {
  if (streamId !== 0) session.fail(errorCodes.protocolError);
  else if (length < 8) session.fail(errorCodes.frameSizeError);
  else {
    session.isPeerGoing = true;
    session.owner.goingAway(bytes.readUInt32BE(start) & 0x7fffffff, bytes.readUInt32BE(start + 4));
    session.spend(costs.pointless);
  }
}

function takeWindowUpdate<T>(
  session: Session<T>,
  streamId: number,
  bytes: Buffer,
  start: number,
  length: number,
): void {
  if (length !== 4) {
    session.fail(errorCodes.frameSizeError);
    return;
  }
  const increment = bytes.readUInt32BE(start) & 0x7fffffff;
  const { sender } = session;
  if (streamId === 0) {
    sender.window += increment;
    if (increment === 0) session.fail(errorCodes.protocolError);
    else if (sender.window > mostWindowBytes) session.fail(errorCodes.flowControlError);
    else session.windowOpened();
    return;
  }
  const stream = session.streams.get(streamId);
  if (stream === undefined) {
    if (session.isIdle(streamId)) session.fail(errorCodes.protocolError);
    else session.spend(costs.windowUpdate);
    return;
  }
  stream.sendWindow += increment;
  if (increment === 0) session.streamError(stream, errorCodes.protocolError);
  else if (stream.sendWindow > mostWindowBytes) session.streamError(stream, errorCodes.flowControlError);
  else session.windowOpened();
}
