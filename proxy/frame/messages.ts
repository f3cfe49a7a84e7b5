import { closings } from './closedstreams.ts';
import { errorCodes, frameFlags } from './codes.ts';
import { costs } from './patience.ts';
import { FieldSection, mostAnswerBlockBytes, mostBlockBytes, sectionKinds } from './section.ts';
import type { Session } from './session.ts';
import { type Stream, takeStream } from './stream.ts';

/** Decoding and what follows from it happen within one call: one serves all sessions of the process. */
const section = new FieldSection();

/** HEADERS (RFC 9113 §6.2). */
export function takeHeaders<T>(
  session: Session<T>,
  flags: number,
  streamId: number,
  bytes: Buffer,
  start: number,
  end: number,
): void {
  let from = start;
  let to = end;
  if ((flags & frameFlags.padded) !== 0) to -= from < end ? (bytes[from++] as number) : 1;
  let dependsOnItself = false;
  if ((flags & frameFlags.priority) !== 0) {
    // Priorities are obsolete (RFC 9113 §5.3), but a stream that depends on itself is still an error to some.
    dependsOnItself = from + 4 <= end && (bytes.readUInt32BE(from) & 0x7fffffff) === streamId;
    from += 5;
  }
  if (streamId === 0 || from > to) {
    session.fail(errorCodes.protocolError);
    return;
  }
  const isEnd = (flags & frameFlags.endStream) !== 0;
  if ((flags & frameFlags.endHeaders) === 0) {
    session.block.begin(streamId, isEnd, dependsOnItself, bytes.subarray(from, to));
    return;
  }
  takeBlock(session, streamId, isEnd, dependsOnItself, bytes, from, to);
}

/** CONTINUATION of the block that is open (RFC 9113 §6.10). */
export function takeContinuation<T>(
  session: Session<T>,
  flags: number,
  streamId: number,
  bytes: Buffer,
  start: number,
  end: number,
): void {
  const { block } = session;
  if (streamId !== block.streamId) {
    session.fail(errorCodes.protocolError);
    return;
  }
  if (!block.add(bytes.subarray(start, end), session.isServer ? mostBlockBytes : mostAnswerBlockBytes)) {
    session.fail(errorCodes.enhanceYourCalm);
    return;
  }
  if ((flags & frameFlags.endHeaders) === 0) return;
  const whole = block.close();
  takeBlock(session, streamId, block.endsStream, block.dependsOnItself, whole, 0, whole.length);
}

/** A whole field block: whatever becomes of its stream, it is decoded, or the tables of both sides would part. */
function takeBlock<T>(
  session: Session<T>,
  streamId: number,
  isEnd: boolean,
  dependsOnItself: boolean,
  bytes: Buffer,
  start: number,
  end: number,
): void {
  const stream = session.streams.get(streamId);
  const isOpening = session.isServer && streamId > session.lastPeerId && (streamId & 1) === 1;
  const isFirst = stream === undefined ? isOpening : !stream.hasHead;
  const first = session.isServer ? sectionKinds.request : sectionKinds.response;
  section.begin(isFirst ? first : sectionKinds.trailers, session.limits.section);
  if (!session.decoder.decode(bytes, start, end, section)) {
    session.fail(errorCodes.compressionError);
    return;
  }
  // Whoever asks a server for such an answer must not end those of others.
  if (section.isExcessive && session.isServer) {
    session.fail(errorCodes.enhanceYourCalm);
    return;
  }
  section.end();
  if (isOpening) {
    takeRequest(session, streamId, isEnd, dependsOnItself);
  } else if (stream === undefined) {
    takeStray(session, streamId, end - start, errorCodes.protocolError);
  } else if (stream.isRemoteClosed) {
    session.streamError(stream, errorCodes.streamClosed);
  } else if (dependsOnItself || section.isMalformed) {
    session.streamError(stream, errorCodes.protocolError);
  } else if (isFirst) {
    takeResponse(session, stream, isEnd);
  } else {
    takeTrailers(session, stream, isEnd);
  }
}

function takeRequest<T>(session: Session<T>, streamId: number, isEnd: boolean, dependsOnItself: boolean): void {
  session.lastPeerId = streamId;
  if (streamId > session.goneId) {
    // It was on its way when it was told that no more are taken.
    session.gaveUp(streamId);
    session.spend(costs.refused);
    return;
  }
  if (session.streams.size >= session.limits.streams) {
    session.sender.remindOfStreams(session.limits.streams);
    session.refuse(streamId, errorCodes.refusedStream, costs.refused);
    return;
  }
  if (section.isMalformed || dependsOnItself || (isEnd && section.contentLength > 0)) {
    session.owner.malformed();
    session.refuse(streamId, errorCodes.protocolError, costs.violation);
    return;
  }
  const stream = takeStream<T>();
  stream.begin(streamId, session.limits.streamWindowBytes, session.sender.streamWindow);
  stream.openedAtMs = session.nowMs;
  stream.hasHead = true;
  stream.isRemoteClosed = isEnd;
  stream.expected = section.contentLength;
  session.streams.set(streamId, stream);
  const { isTooLarge } = section;
  session.owner.headers(stream, section, isEnd);
  if (isTooLarge) session.spend(costs.tooLarge);
}

function takeResponse<T>(session: Session<T>, stream: Stream<T>, isEnd: boolean): void {
  const { status, contentLength } = section;
  const isInterim = status < 200 && !section.isTooLarge;
  // RFC 9113 §8.1: interim heads end nothing; §8.6: there is no switching of protocols.
  let isMalformed = isInterim && (isEnd || status === 101);
  if (!isInterim) {
    stream.hasHead = true;
    stream.expected = stream.isBodiless || status === 204 || status === 304 ? 0 : contentLength;
    isMalformed = isEnd && stream.expected > 0;
  }
  if (isMalformed) {
    session.streamError(stream, errorCodes.protocolError);
    return;
  }
  const { id } = stream;
  stream.isRemoteClosed = isEnd;
  session.owner.headers(stream, section, isEnd);
  if (isEnd) session.endedByPeer(id);
}

function takeTrailers<T>(session: Session<T>, stream: Stream<T>, isEnd: boolean): void {
  if (!isEnd || stream.expected > 0) {
    session.streamError(stream, errorCodes.protocolError);
    return;
  }
  if (section.isTooLarge) {
    session.streamError(stream, errorCodes.enhanceYourCalm);
    return;
  }
  const { id } = stream;
  stream.isRemoteClosed = true;
  session.owner.trailers(stream, section);
  session.endedByPeer(id);
}

/** HEADERS or DATA came for a stream that is not there (RFC 9113 §5.1). @param code of a stream that is long gone */
export function takeStray<T>(session: Session<T>, streamId: number, bytes: number, code: number): void {
  switch (session.closed.howOf(streamId)) {
    case closings.byUs:
      if (!session.wasOnItsWay(bytes)) session.spend(costs.pointless);
      return;
    case closings.byPeer:
      session.refuse(streamId, errorCodes.streamClosed, costs.violation);
      return;
    case closings.ended:
      session.fail(errorCodes.streamClosed);
      return;
    default:
      session.fail(session.isIdle(streamId) ? errorCodes.protocolError : code);
  }
}
